/* Losses and gradients of proximal policy optimisation: `losses` of agents/ppo/ppo.py, seed by seed. */
#pragma once
#include "batch.h"

typedef struct {
    Network policy, value;
    const float *log_std; /* [seeds, heads, actions]: the actions' log deviation */
    float *d_log_std;
    float least_ratio, most_ratio, clip_value;   /* the clips; INFINITY lets values go anywhere */
    float entropy_weight, value_weight;          /* in the losses */
    int32_t normalise; /* give the batch's advantages mean 0 and deviation 1 */
    int32_t rows, task;      /* rows per seed; the task of all of them, or: */
    const int64_t *task_ids; /* [seeds, rows] */
    Rows obs, action, log_prob, old_value, advantage, returns;
    float *losses;                /* [seeds, 2]: policy, value */
    float *hidden[2][MAX_LAYERS]; /* gets policy's and value's activations [seeds, rows, units], or NULL */
} Ppo;

typedef struct { /* what acting gives; NULL is for what is not asked for */
    Rows noise;
    float *actions;          /* [seeds, rows, actions] */
    float *log_prob, *value; /* [seeds, rows] */
} PpoActs;

typedef struct { /* memory for one seed at a time */
    Pass policy, value;
    Bench bench;
    float *mean, *d_mean, *std, *predicted, *d_predicted, *advantage, *ratio;
    double *d_log_std;
} PpoScratch;

static PpoScratch make_ppo_scratch(Arena *arena, const Ppo *ppo) {
    int rows = ppo->rows, actions = ppo->policy.outputs;
    PpoScratch s;
    s.policy = make_pass(arena, &ppo->policy, rows);
    s.value = make_pass(arena, &ppo->value, rows);
    s.bench = make_bench(arena, 2, (const Network *[]){&ppo->policy, &ppo->value}, rows);
    s.mean = floats(arena, (int64_t)rows * actions);
    s.d_mean = floats(arena, (int64_t)rows * actions);
    s.std = floats(arena, ppo->policy.heads * actions);
    s.predicted = floats(arena, rows);
    s.d_predicted = floats(arena, rows);
    s.advantage = floats(arena, rows);
    s.ratio = floats(arena, rows);
    s.d_log_std = (double *)floats(arena, 2 * ppo->policy.heads * actions);
    return s;
}
/* Where a row's deviations begin, among those of all heads. */
INLINE int deviations_at(const Ppo *ppo, Tasks tasks, int m) {
    return head_number(&ppo->policy, tasks, m) * ppo->policy.outputs;
}
static const float *set_deviations(const Ppo *ppo, int seed, PpoScratch *s) {
    int n = ppo->policy.heads * ppo->policy.outputs;
    const float *log_std = ppo->log_std + (long)seed * n;
    for (int j = 0; j < n; j += LANES) store(s->std + j, exp_of(load_some(log_std + j, n - j)));
    return log_std;
}
/* Of one action. Doubles here and below: rows with advantages of both signs cancel, and their
   rounding errors do not. */
static double log_prob_of(int actions, const float *mean, const float *log_std, const float *std,
                          const float *action) {
    double log_prob = 0.0;
    for (int i = 0; i < actions; i++) {
        double z = ((double)action[i] - mean[i]) / std[i];
        log_prob -= 0.5 * z * z + log_std[i] + 0.91893853320467274; /* log sqrt(2 pi) */
    }
    return log_prob;
}

/* How probable the actions are now, over how probable they were: ratio [rows]. */
static void set_ratios(const Ppo *ppo, int seed, const float *log_std, PpoScratch *s) {
    int rows = ppo->rows, actions = ppo->policy.outputs;
    Tasks tasks = TASKS_OF(ppo, seed);
    for (int m = 0; m < rows; m++) {
        int at = deviations_at(ppo, tasks, m);
        double log_prob = log_prob_of(actions, s->mean + m * actions, log_std + at, s->std + at,
                                      row_of(ppo->action, seed, m));
        s->ratio[m] = (float)(log_prob - *row_of(ppo->log_prob, seed, m));
    }
    for (int m = 0; m < rows; m += LANES) store(s->ratio + m, exp_of(load_some(s->ratio + m, rows - m)));
}
static void set_advantages(const Ppo *ppo, int seed, PpoScratch *s) {
    int rows = ppo->rows, row = padded(rows);
    float *advantage = s->advantage;
    memset(advantage, 0, sizeof(float) * row);
    for (int m = 0; m < rows; m++) advantage[m] = *row_of(ppo->advantage, seed, m);
    if (!ppo->normalise || rows == 1) return;
    float mean = sum(advantage, row) / rows;
    for (int m = 0; m < rows; m++) advantage[m] -= mean;
    float deviation = sqrtf(dot(advantage, advantage, row) / (rows - 1)) + 1e-8f;
    for (int m = 0; m < rows; m++) advantage[m] /= deviation;
}

/* The clipped surrogate with its entropy bonus, and the gradients of means and deviations. */
static void policy_loss(const Ppo *ppo, int seed, const float *log_std, PpoScratch *s) {
    int rows = ppo->rows, actions = ppo->policy.outputs, n = ppo->policy.heads * actions;
    Tasks tasks = TASKS_OF(ppo, seed);
    double surrogate = 0.0, entropy = 0.0, bonus = ppo->entropy_weight, *d_log_std = s->d_log_std;
    float least = ppo->least_ratio, most = ppo->most_ratio;
    memset(d_log_std, 0, sizeof(double) * n);
    for (int m = 0; m < rows; m++) {
        int at = deviations_at(ppo, tasks, m);
        float ratio = s->ratio[m], advantage = s->advantage[m], clipped = ratio;
        if (ratio < least) clipped = least;
        if (ratio > most) clipped = most;
        float free = advantage * ratio, bound = advantage * clipped;
        surrogate += bound < free ? bound : free; /* NaN, if one is */
        /* Of equal ones torch.min gives each half of the gradient; a clipped one passes none on. */
        float share = bound < free ? 0.0f : free == bound && clipped != ratio ? 0.5f : 1.0f;
        double d_log_prob = -(double)share * advantage * ratio / rows;
        const float *mean = s->mean + m * actions, *action = row_of(ppo->action, seed, m);
        for (int i = 0; i < actions; i++) {
            double std = s->std[at + i], z = ((double)action[i] - mean[i]) / std;
            s->d_mean[m * actions + i] = (float)(d_log_prob * z / std);
            d_log_std[at + i] += d_log_prob * (z * z - 1.0) - bonus / rows;
            entropy += log_std[at + i] + 1.4189385332046727; /* (1 + log 2 pi) / 2 */
        }
    }
    for (int i = 0; i < n; i++) ppo->d_log_std[(long)seed * n + i] = (float)d_log_std[i];
    ppo->losses[2 * seed] = (float)(-(surrogate + bonus * entropy) / rows);
}
/* The squared error of the values, which may be held near those of the rollout. */
static void value_loss(const Ppo *ppo, int seed, PpoScratch *s) {
    int rows = ppo->rows;
    double loss = 0.0;
    float most = ppo->clip_value;
    for (int m = 0; m < rows; m++) {
        float value = s->predicted[m], old = *row_of(ppo->old_value, seed, m), gap = value - old;
        int clipped = gap < -most || gap > most;
        if (most < INFINITY) value = old + (gap < -most ? -most : gap > most ? most : gap);
        float error = *row_of(ppo->returns, seed, m) - value;
        loss += error * error;
        s->d_predicted[m] = clipped ? 0.0f : -2.0f * error * (ppo->value_weight / rows);
    }
    ppo->losses[2 * seed + 1] = (float)(ppo->value_weight * (loss / rows));
}

/* Both losses and all gradients of one seed. */
static void ppo_gradients_of_seed(const Ppo *ppo, int seed, PpoScratch *s) {
    int rows = ppo->rows;
    Tasks tasks = TASKS_OF(ppo, seed);
    const float *obs = row_of(ppo->obs, seed, 0), *log_std = set_deviations(ppo, seed, s);
    forward(&ppo->policy, seed, rows, obs, ppo->obs.row, tasks, &s->policy, &s->bench, s->mean);
    forward(&ppo->value, seed, rows, obs, ppo->obs.row, tasks, &s->value, &s->bench, s->predicted);
    set_ratios(ppo, seed, log_std, s);
    set_advantages(ppo, seed, s);
    policy_loss(ppo, seed, log_std, s);
    value_loss(ppo, seed, s);
    backward(&ppo->policy, seed, rows, rows, obs, ppo->obs.row, tasks, s->d_mean, &s->policy, &s->bench);
    backward(&ppo->value, seed, rows, rows, obs, ppo->obs.row, tasks, s->d_predicted, &s->value, &s->bench);
    keep_hidden(&ppo->policy, seed, rows, &s->policy, ppo->hidden[0]);
    keep_hidden(&ppo->value, seed, rows, &s->value, ppo->hidden[1]);
}
/* What one seed does at observations, and what it knows of that. */
static void ppo_act_of_seed(const Ppo *ppo, int seed, PpoScratch *s, const PpoActs *acts) {
    int rows = ppo->rows, actions = ppo->policy.outputs;
    Tasks tasks = TASKS_OF(ppo, seed);
    const float *obs = row_of(ppo->obs, seed, 0), *log_std = set_deviations(ppo, seed, s);
    if (acts->value)
        forward(&ppo->value, seed, rows, obs, ppo->obs.row, tasks, &s->value, &s->bench,
                acts->value + (long)seed * rows);
    if (!acts->actions) return;
    forward(&ppo->policy, seed, rows, obs, ppo->obs.row, tasks, &s->policy, &s->bench, s->mean);
    for (int m = 0; m < rows; m++) {
        int at = deviations_at(ppo, tasks, m);
        const float *mean = s->mean + m * actions, *noise = row_of(acts->noise, seed, m);
        float *action = acts->actions + ((long)seed * rows + m) * actions;
        for (int i = 0; i < actions; i++) action[i] = mean[i] + noise[i] * s->std[at + i];
        if (acts->log_prob)
            acts->log_prob[(long)seed * rows + m] =
                (float)log_prob_of(actions, mean, log_std + at, s->std + at, action);
    }
}
