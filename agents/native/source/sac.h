/* Losses and gradients of soft actor-critic: `losses` of agents/sac/sac.py, seed by seed. */
#pragma once
#include "batch.h"

typedef struct {
    Network actor, critic, target; /* critics are twins: copies 2 seed and 2 seed + 1 */
    int32_t features, actions, tasks; /* tasks: entropy coefficients of a seed, 1 for all tasks or one each */
    float gamma, target_entropy, log_std_min, log_std_max;
    const float *log_alpha; /* [seeds, tasks] */
    float *d_log_alpha;
    const float *popart_mean, *popart_scale; /* [seeds, heads] of the critics, or NULL */
    int32_t rows, task;      /* of the batch: rows per seed, and the task of all of them, or: */
    const int64_t *task_ids; /* [seeds, rows] */
    Rows obs, action, reward, next_obs, done, noise, next_noise;
    const float *given; /* [seeds, rows], what the critics are to predict, or NULL */
    float *losses;      /* [seeds, 3]: actor, critics, entropy coefficient */
    float *hidden[2][MAX_LAYERS]; /* gets actor's and critics' activations at (s, a), [copies, rows, units], or NULL */
} Sac;

typedef struct { /* memory for one seed at a time */
    Pass actor, critic[2], target;
    Bench bench;
    float *out, *d_out, *inputs, *action, *spread, *log_prob, *q[2], *d_q[2], *d_action[2], *to_predict, *alpha;
    float *gathered[3], *d_kept;
    int64_t *kept, *kept_ids;
} SacScratch;

static SacScratch make_sac_scratch(Arena *arena, const Sac *sac) {
    int rows = sac->rows, numbers = padded(rows * sac->actions);
    SacScratch s;
    s.actor = make_pass(arena, &sac->actor, rows);
    for (int k = 0; k < 2; k++) s.critic[k] = make_pass(arena, &sac->critic, 2 * rows);
    s.target = make_pass(arena, &sac->target, rows);
    s.bench = make_bench(arena, 3, (const Network *[]){&sac->actor, &sac->critic, &sac->target}, 2 * rows);
    s.out = floats(arena, 2 * numbers + 32);
    s.d_out = floats(arena, 2 * numbers + 32);
    s.inputs = floats(arena, (int64_t)2 * rows * sac->critic.inputs);
    s.action = floats(arena, numbers);
    s.spread = floats(arena, numbers);
    for (int k = 0; k < 2; k++) s.d_action[k] = floats(arena, rows * padded(sac->actions));
    for (int i = 0; i < 3; i++) s.gathered[i] = floats(arena, numbers);
    s.d_kept = floats(arena, rows * padded(sac->actions));
    s.kept = (int64_t *)floats(arena, 2 * rows);
    s.kept_ids = (int64_t *)floats(arena, 4 * rows);
    s.log_prob = floats(arena, rows);
    s.to_predict = floats(arena, rows);
    s.alpha = floats(arena, sac->tasks);
    for (int k = 0; k < 2; k++) s.q[k] = floats(arena, 2 * rows), s.d_q[k] = floats(arena, 2 * rows);
    return s;
}
INLINE int alpha_of(const Sac *sac, Tasks tasks, int m) { return sac->tasks == 1 ? 0 : task_of(tasks, m); }
INLINE float least(float a, float b) { return a < b || a != a ? a : b; } /* NaN, if one is */

/* The share of `a` in the gradient of the smaller of two: half each where they are equal. */
INLINE float share(float a, float b) { return a < b ? 1.0f : a == b ? 0.5f : a > b ? 0.0f : NAN; }

/* action = tanh(mean + std noise) and its log-probability, for the actor's outputs
   [rows, 2 actions]; `spread` gets std noise. */
static void squash(const Sac *sac, int rows, const float *out, Rows noise, int seed, SacScratch *s) {
    int actions = sac->actions, n = rows * actions;
    float *mean = s->gathered[0], *log_std = s->gathered[1], *z = s->gathered[2];
    for (int m = 0; m < rows; m++)
        for (int i = 0; i < actions; i++) {
            mean[m * actions + i] = out[2 * m * actions + i];
            log_std[m * actions + i] = out[(2 * m + 1) * actions + i];
            z[m * actions + i] = row_of(noise, seed, m)[i];
        }
    for (int j = n; j < padded(n); j++) mean[j] = log_std[j] = z[j] = 0.0f;
    const lanes log_sqrt_2pi = all(0.91893853320467274f), log_2 = all(0.69314718055994531f);
    for (int j = 0; j < padded(n); j += LANES) {
        lanes deviation = at_most(at_least(load(log_std + j), sac->log_std_min), sac->log_std_max);
        lanes drawn = load(z + j), spread = exp_of(deviation) * drawn, u = load(mean + j) + spread;
        lanes normal = -0.5f * drawn * drawn - deviation - log_sqrt_2pi;
        store(s->spread + j, spread);
        store(s->action + j, tanh_of(u));
        store(z + j, normal - 2.0f * (log_2 - u - softplus(-2.0f * u)));
    }
    for (int m = 0; m < rows; m++) {
        float log_prob = 0.0f;
        for (int i = 0; i < actions; i++) log_prob += z[m * actions + i];
        s->log_prob[m] = log_prob;
    }
}
static void set_alphas(const Sac *sac, int seed, SacScratch *s) {
    const float *log_alpha = sac->log_alpha + (long)seed * sac->tasks;
    for (int j = 0; j < sac->tasks; j += LANES)
        store(s->alpha + j, exp_of(load_some(log_alpha + j, sac->tasks - j)));
}
/* Inputs of the critics: features, then actions. */
static void join(int rows, Rows features, int n, Rows action, int actions, int seed, float *inputs) {
    for (int m = 0; m < rows; m++, inputs += n + actions) {
        memcpy(inputs, row_of(features, seed, m), sizeof(float) * n);
        memcpy(inputs + n, row_of(action, seed, m), sizeof(float) * actions);
    }
}

/* What the critics are to predict, in units of reward: [rows]. */
static void soft_targets(const Sac *sac, int seed, SacScratch *s, float *target) {
    int rows = sac->rows, inputs = sac->critic.inputs;
    Tasks tasks = TASKS_OF(sac, seed);
    forward(&sac->actor, seed, rows, row_of(sac->next_obs, seed, 0), sac->next_obs.row, tasks, &s->actor,
            &s->bench, s->out);
    squash(sac, rows, s->out, sac->next_noise, seed, s);
    Rows action = {s->action, 0, sac->actions};
    join(rows, sac->next_obs, sac->features, action, sac->actions, seed, s->inputs);
    for (int k = 0; k < 2; k++)
        forward(&sac->target, 2 * seed + k, rows, s->inputs, inputs, tasks, &s->target, &s->bench, s->q[k]);
    for (int m = 0; m < rows; m++) {
        float q = least(s->q[0][m], s->q[1][m]);
        if (sac->popart_scale) {
            int head = seed * sac->critic.heads + (sac->critic.heads == 1 ? 0 : task_of(tasks, m));
            q = q * sac->popart_scale[head] + sac->popart_mean[head];
        }
        float value = q - s->alpha[alpha_of(sac, tasks, m)] * s->log_prob[m];
        float goes_on = sac->gamma * (1.0f - *row_of(sac->done, seed, m));
        target[m] = *row_of(sac->reward, seed, m) + goes_on * value;
    }
}

/* The losses, and what they say of the critics' outputs: d_q [2 rows] at (s, a) and (s, pi). */
static void losses_of(const Sac *sac, int seed, const float *target, SacScratch *s) {
    int rows = sac->rows;
    Tasks tasks = TASKS_OF(sac, seed);
    double actor = 0.0, critic = 0.0, alpha = 0.0; /* a float would lose digits over many rows */
    float *d_log_alpha = sac->d_log_alpha + (long)seed * sac->tasks;
    memset(d_log_alpha, 0, sizeof(float) * sac->tasks);
    for (int m = 0; m < rows; m++) {
        int at = alpha_of(sac, tasks, m);
        float gap = s->log_prob[m] + sac->target_entropy, one = s->q[0][rows + m], two = s->q[1][rows + m];
        d_log_alpha[at] -= gap / rows;
        alpha -= sac->log_alpha[(long)seed * sac->tasks + at] * gap;
        actor += s->alpha[at] * s->log_prob[m] - least(one, two);
        s->d_q[0][rows + m] = -share(one, two) / rows;
        s->d_q[1][rows + m] = -share(two, one) / rows;
        for (int k = 0; k < 2; k++) {
            float error = s->q[k][m] - target[m];
            critic += 0.5 * error * error;
            s->d_q[k][m] = error / rows;
        }
    }
    float *losses = sac->losses + 3 * seed;
    losses[0] = (float)(actor / rows), losses[1] = (float)(critic / rows), losses[2] = (float)(alpha / rows);
}
/* The gradient of the actor's outputs [rows, 2 actions], from that of the actions by both critics. */
static void actor_gradient(const Sac *sac, int seed, SacScratch *s) {
    int rows = sac->rows, actions = sac->actions;
    Tasks tasks = TASKS_OF(sac, seed);
    for (int m = 0; m < rows; m++) {
        const float *by[2] = {s->d_action[0] + m * padded(actions), s->d_action[1] + m * padded(actions)};
        const float *log_std = s->out + (2 * m + 1) * actions;
        float share = s->alpha[alpha_of(sac, tasks, m)] / rows, *d_mean = s->d_out + 2 * m * actions;
        for (int i = 0; i < actions; i++) {
            float a = s->action[m * actions + i], spread = s->spread[m * actions + i];
            d_mean[i] = 2.0f * share * a + (by[0][i] + by[1][i]) * (1.0f - a * a);
            int clamped = log_std[i] < sac->log_std_min || log_std[i] > sac->log_std_max;
            d_mean[actions + i] = clamped ? 0.0f : d_mean[i] * spread - share;
        }
    }
}
/* Moves the rows (s, pi) at which a critic is the smaller one up behind the rows (s, a), and returns
   how many they are: the actor's gradient goes through no others. */
static int keep_smaller(const Sac *sac, int k, SacScratch *s, Tasks *tasks) {
    int rows = sac->rows, kept = 0;
    const int64_t *ids = tasks->of_row;
    for (int m = 0; m < rows; m++) {
        if (ids) s->kept_ids[m] = ids[m];
        if (s->d_q[k][rows + m] == 0.0f) continue; /* NaN is not */
        move_row(&sac->critic, &s->critic[k], rows + m, rows + kept);
        s->d_q[k][rows + kept] = s->d_q[k][rows + m];
        if (ids) s->kept_ids[rows + kept] = ids[m];
        s->kept[kept++] = m;
    }
    if (ids) *tasks = (Tasks){tasks->one, 2 * rows, s->kept_ids};
    return kept;
}
/* All gradients of a critic, and those of the policy's actions by it: d_action [rows, padded(actions)]. */
static void critic_gradients(const Sac *sac, int seed, int k, SacScratch *s) {
    int rows = sac->rows, actions = sac->actions, wide = padded(actions), copy = 2 * seed + k;
    Tasks tasks = TASKS_OF(sac, seed);
    int kept = keep_smaller(sac, k, s, &tasks);
    const float *delta = backward(&sac->critic, copy, rows + kept, rows, s->inputs, sac->critic.inputs, tasks,
                                  s->d_q[k], &s->critic[k], &s->bench);
    Layer first = layer_of(&sac->critic, copy, 0), of_actions = first;
    of_actions.inputs = actions;
    of_actions.weight += (long)sac->features * first.units;
    delta_below(of_actions, kept, delta + (long)rows * padded(first.units), s->d_kept, &s->bench);
    memset(s->d_action[k], 0, sizeof(float) * rows * wide);
    for (int i = 0; i < kept; i++)
        memcpy(s->d_action[k] + s->kept[i] * wide, s->d_kept + i * wide, sizeof(float) * wide);
    keep_hidden(&sac->critic, copy, rows, &s->critic[k], sac->hidden[1]);
}

/* All losses and gradients of one seed. */
static void gradients_of_seed(const Sac *sac, int seed, SacScratch *s) {
    int rows = sac->rows, features = sac->features, actions = sac->actions, inputs = sac->critic.inputs;
    Tasks tasks = TASKS_OF(sac, seed);
    const float *target = sac->given ? sac->given + (long)seed * rows : s->to_predict;
    if (!sac->given) soft_targets(sac, seed, s, s->to_predict);
    const float *obs = row_of(sac->obs, seed, 0);
    forward(&sac->actor, seed, rows, obs, sac->obs.row, tasks, &s->actor, &s->bench, s->out);
    squash(sac, rows, s->out, sac->noise, seed, s);
    join(rows, sac->obs, features, sac->action, actions, seed, s->inputs);
    join(rows, sac->obs, features, (Rows){s->action, 0, actions}, actions, seed,
         s->inputs + (long)rows * inputs);
    for (int k = 0; k < 2; k++)
        forward(&sac->critic, 2 * seed + k, 2 * rows, s->inputs, inputs, tasks, &s->critic[k], &s->bench,
                s->q[k]);
    losses_of(sac, seed, target, s);
    for (int k = 0; k < 2; k++) critic_gradients(sac, seed, k, s);
    actor_gradient(sac, seed, s);
    backward(&sac->actor, seed, rows, rows, obs, sac->obs.row, tasks, s->d_out, &s->actor, &s->bench);
    keep_hidden(&sac->actor, seed, rows, &s->actor, sac->hidden[0]);
}
