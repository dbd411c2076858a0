/* A batch of every seed, and one network of every seed on it. */
#pragma once
#include "network.h"

/* Copies the hidden activations of the first rows into tensors [copies, rows, units], if there are any. */
static void keep_hidden(const Network *net, int copy, int rows, const Pass *pass, float *const to[MAX_LAYERS]) {
    for (int l = 0; l < net->layers && to[l]; l++)
        for (int m = 0; m < rows; m++)
            memcpy(to[l] + ((long)copy * rows + m) * net->units[l],
                   pass->hidden[l] + (long)m * padded(net->units[l]), sizeof(float) * net->units[l]);
}

/* A batch's numbers [seeds, rows, ...]: where they are, and the steps to the next seed and row. */
typedef struct {
    const float *at;
    int64_t seed, row;
} Rows;

INLINE const float *row_of(Rows rows, int seed, int m) { return rows.at + seed * rows.seed + m * rows.row; }

/* A seed's tasks in a batch `of`, which has rows, task and task_ids. */
#define TASKS_OF(of, seed) \
    ((Tasks){(of)->task, (of)->rows, (of)->task_ids ? (of)->task_ids + (long)(seed) * (of)->rows : NULL})

typedef struct { /* one network of every seed on a batch */
    Network net;
    int32_t rows, task;      /* rows per seed; the task of all of them, or: */
    const int64_t *task_ids; /* [seeds, rows] */
    Rows inputs;
    float *outputs;         /* [seeds, rows, outputs] */
    const float *d_outputs; /* the same */
} NetworkCall;

typedef struct {
    Pass pass;
    Bench bench;
} NetworkScratch;

static NetworkScratch make_network_scratch(Arena *arena, const NetworkCall *call) {
    NetworkScratch s;
    s.pass = make_pass(arena, &call->net, call->rows);
    s.bench = make_bench(arena, 1, (const Network *[]){&call->net}, call->rows);
    return s;
}
