/* What Python calls: agents/native/library.py declares these functions. */
#include "importance.h"
#include "ppo.h"
#include "sac.h"
#include "sums.h"

#define EXPORT __attribute__((visibility("default")))

/* How many floats of scratch memory a batch needs; of a network's call, for each seed. */
EXPORT int64_t network_scratch(const NetworkCall *call) {
    Arena arena = {NULL, 0};
    make_network_scratch(&arena, call);
    return arena.used;
}
EXPORT int64_t sac_scratch(const Sac *sac) {
    Arena arena = {NULL, 0};
    make_sac_scratch(&arena, sac);
    return arena.used;
}
EXPORT int64_t ppo_scratch(const Ppo *ppo) {
    Arena arena = {NULL, 0};
    make_ppo_scratch(&arena, ppo);
    return arena.used;
}
/* Losses and gradients of the seeds first..last-1. */
EXPORT void sac_gradients(const Sac *sac, float *scratch, int first, int last) {
    Arena arena = {scratch, 0};
    SacScratch s = make_sac_scratch(&arena, sac);
    for (int seed = first; seed < last; seed++) {
        set_alphas(sac, seed, &s);
        gradients_of_seed(sac, seed, &s);
    }
}
/* What the critics are to predict, [seeds, rows]. */
EXPORT void sac_targets(const Sac *sac, float *scratch, int first, int last, float *targets) {
    Arena arena = {scratch, 0};
    SacScratch s = make_sac_scratch(&arena, sac);
    for (int seed = first; seed < last; seed++) {
        set_alphas(sac, seed, &s);
        soft_targets(sac, seed, &s, targets + (int64_t)seed * sac->rows);
    }
}
/* The policy's actions, [seeds, rows, actions]. */
EXPORT void sac_act(const Sac *sac, float *scratch, int first, int last, float *actions) {
    Arena arena = {scratch, 0};
    SacScratch s = make_sac_scratch(&arena, sac);
    for (int seed = first; seed < last; seed++) {
        forward(&sac->actor, seed, sac->rows, row_of(sac->obs, seed, 0), sac->obs.row, TASKS_OF(sac, seed),
                &s.actor, &s.bench, s.out);
        squash(sac, sac->rows, s.out, sac->noise, seed, &s);
        int64_t numbers = (int64_t)sac->rows * sac->actions;
        memcpy(actions + seed * numbers, s.action, sizeof(float) * numbers);
    }
}
EXPORT void ppo_gradients(const Ppo *ppo, float *scratch, int first, int last) {
    Arena arena = {scratch, 0};
    PpoScratch s = make_ppo_scratch(&arena, ppo);
    for (int seed = first; seed < last; seed++) ppo_gradients_of_seed(ppo, seed, &s);
}
EXPORT void ppo_act(const Ppo *ppo, float *scratch, int first, int last, const PpoActs *acts) {
    Arena arena = {scratch, 0};
    PpoScratch s = make_ppo_scratch(&arena, ppo);
    for (int seed = first; seed < last; seed++) ppo_act_of_seed(ppo, seed, &s, acts);
}
/* The outputs of a network of every seed. Each seed has scratch memory of its own, which the
   backward pass needs as the forward pass left it. */
EXPORT void network_forward(const NetworkCall *call, float *scratch, int first, int last) {
    int64_t size = network_scratch(call), numbers = (int64_t)call->rows * call->net.outputs;
    for (int seed = first; seed < last; seed++) {
        Arena arena = {scratch + seed * size, 0};
        NetworkScratch s = make_network_scratch(&arena, call);
        forward(&call->net, seed, call->rows, row_of(call->inputs, seed, 0), call->inputs.row,
                TASKS_OF(call, seed), &s.pass, &s.bench, call->outputs + seed * numbers);
    }
}
/* The gradients of its parameters. */
EXPORT void network_backward(const NetworkCall *call, float *scratch, int first, int last) {
    int64_t size = network_scratch(call), numbers = (int64_t)call->rows * call->net.outputs;
    for (int seed = first; seed < last; seed++) {
        Arena arena = {scratch + seed * size, 0};
        NetworkScratch s = make_network_scratch(&arena, call);
        backward(&call->net, seed, call->rows, call->rows, row_of(call->inputs, seed, 0), call->inputs.row,
                 TASKS_OF(call, seed), call->d_outputs + seed * numbers, &s.pass, &s.bench);
    }
}
EXPORT int64_t importance_scratch(const Importance *importance) {
    Arena arena = {NULL, 0};
    make_importance_scratch(&arena, importance);
    return arena.used;
}
/* The importance of a network's parameters for the seeds first..last-1. */
EXPORT void network_importance(const Importance *importance, float *scratch, int first, int last) {
    Arena arena = {scratch, 0};
    ImportanceScratch s = make_importance_scratch(&arena, importance);
    for (int seed = first; seed < last; seed++) importance_of_seed(importance, seed, &s);
}
/* The dot products of tensors [seeds, ...], `sizes` numbers of a seed each, all together: [seeds]. */
EXPORT void seed_dots(int tensors, const float *const *first, const float *const *second,
                      const int64_t *sizes, int seeds, double *result) {
    for (int seed = 0; seed < seeds; seed++) {
        result[seed] = 0.0;
        for (int i = 0; i < tensors; i++)
            result[seed] += long_dot(first[i] + seed * sizes[i], second[i] + seed * sizes[i], sizes[i]);
    }
}
/* The clip of the norm of some tensors together, seed by seed; `norms` [seeds] gets those before. */
EXPORT void clip_norms(int parts, const Part *part, int seeds, float most, float epsilon, float *norms) {
    for (int seed = 0; seed < seeds; seed++) norms[seed] = clip_seed(parts, part, seed, most, epsilon);
}
/* Which sources and flags this was compiled from. */
EXPORT const char *key(void) { return KEY; }
