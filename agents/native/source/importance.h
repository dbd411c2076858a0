/* How important each parameter is for what a network says of a batch: the magnitudes of a row's
   gradients, added up over scalars, and their mean over rows.

   A row's gradient of a weight is x delta^T, so its square is x^2 (delta^2)^T: the magnitudes of
   all scalars' deltas are added up first, and one product per layer is left. Absolute values do the
   same. `mean_gradients` of agents/networks/importance.py says it in torch. */
#pragma once
#include "batch.h"

typedef struct {
    NetworkCall call;  /* d_outputs is [seeds, scalars, rows, outputs]; the result goes to its gradients */
    int32_t scalars, absolute; /* absolute values, or squares */
    int32_t divisor;   /* of the sums over rows */
    float floor;       /* least value of a single row */
} Importance;

typedef struct {
    NetworkScratch network;
    float *deltas[MAX_LAYERS], *norm_deltas, *head_deltas; /* sums of magnitudes, [rows, padded(units)] */
    float *inputs, *panels, *spare, *sums;
} ImportanceScratch;

static ImportanceScratch make_importance_scratch(Arena *arena, const Importance *it) {
    const Network *net = &it->call.net;
    int64_t rows = it->call.rows, units = padded(net->heads * net->outputs), wide = widest(net);
    ImportanceScratch s = {.network = make_network_scratch(arena, &it->call)};
    for (int l = 0; l < net->layers; l++) s.deltas[l] = floats(arena, rows * padded(net->units[l]));
    s.norm_deltas = floats(arena, rows * padded(net->units[0]));
    s.head_deltas = floats(arena, rows * units);
    wide = wide > units ? wide : units;
    s.panels = floats(arena, rows * (wide + TILE_COLUMNS));
    s.spare = floats(arena, rows * TILE_ROWS);
    s.sums = floats(arena, wide);
    wide = wide > net->inputs ? wide : padded(net->inputs);
    s.inputs = floats(arena, rows * wide);
    return s;
}

INLINE lanes magnitude(const Importance *it, lanes x) {
    if (it->absolute) return pick(x < all(0.0f), -x, x);
    return x * x;
}
static void add_magnitudes(const Importance *it, int64_t n, const float *delta, float *sums) {
    for (int64_t j = 0; j < n; j += LANES) store(sums + j, load(sums + j) + magnitude(it, load(delta + j)));
}
static void set_magnitudes(const Importance *it, int columns, const float *x, long x_row, float *to) {
    int row = padded(columns);
    for (int m = 0; m < it->call.rows; m++, x += x_row, to += row)
        for (int j = 0; j < row; j += LANES)
            store(to + j, magnitude(it, load_some(x + j, columns - j)));
}

/* Adds the magnitudes of one scalar's deltas, from its derivative d_out[rows, outputs]. */
static void add_scalar(const Importance *it, int seed, Tasks tasks, const float *d_out, ImportanceScratch *s) {
    const Network *net = &it->call.net;
    const Pass *pass = &s->network.pass;
    Bench *bench = &s->network.bench;
    int rows = it->call.rows, outputs = net->outputs, head_row = padded(net->heads * outputs);
    for (int m = 0; m < rows; m++) {
        int at = head_number(net, tasks, m) * outputs;
        for (int i = 0; i < outputs; i++) {
            float d = d_out[m * outputs + i];
            s->head_deltas[(long)m * head_row + at + i] += it->absolute ? fabsf(d) : d * d;
        }
    }
    head_backward(net, seed, rows, 0, tasks, d_out, pass, bench, top_delta(net, bench));
    for (int l = net->layers - 1; l >= 0; l--) {
        Layer layer = layer_of(net, seed, l);
        int row = padded(layer.units);
        float *delta = bench->delta[l % 2];
        if (l == 0 && net->normed) {
            for (long j = 0; j < (long)rows * row; j += LANES) {
                lanes y = load(pass->hidden[0] + j), d = load(delta + j) * (1.0f - y * y);
                store(s->norm_deltas + j, load(s->norm_deltas + j) + magnitude(it, d));
            }
            norm_and_tanh_backward(net, seed, rows, 0, delta, pass->hidden[0], pass, bench);
        } else {
            activation_backward(net, rows, row, delta, pass->hidden[l]);
        }
        add_magnitudes(it, (int64_t)rows * row, delta, s->deltas[l]);
        if (l) delta_below(layer, rows, delta, bench->delta[(l + 1) % 2], bench);
    }
}

/* result[units] = mean over rows of max(factor x, floor): factors [rows, padded(units)], or NULL
   for ones; row m's x is at x + m * x_row, for each unit, or with `x_step` 0 one for all. */
static void mean_of(const Importance *it, int units, const float *factors, const float *x, long x_row,
                    int x_step, float *result, float *sums) {
    int row = padded(units);
    memset(sums, 0, sizeof(float) * row);
    for (int m = 0; m < it->call.rows; m++, x += x_row)
        for (int j = 0; j < row; j += LANES) {
            lanes value = x_step ? load(x + j) : all(*x);
            if (factors) value = value * load(factors + (long)m * row + j);
            store(sums + j, load(sums + j) + at_least(value, it->floor));
        }
    for (int j = 0; j < units; j++) result[j] = sums[j] / it->divisor;
}
/* The importance of a linear layer, from the sums of its deltas' magnitudes and its inputs. */
static void set_layer(const Importance *it, Layer layer, const float *x, long x_row, const float *deltas,
                      ImportanceScratch *s) {
    int inputs = layer.inputs, units = layer.units, row = padded(inputs);
    mean_of(it, units, NULL, deltas, padded(units), 1, layer.d_bias, s->sums);
    set_magnitudes(it, inputs, x, x_row, s->inputs);
    if (it->floor == 0.0f) {
        multiply_transposed(it->call.rows, inputs, units, s->inputs, row, deltas, padded(units),
                            layer.d_weight, s->panels, s->spare);
        for (long j = 0; j < (long)inputs * units; j++) layer.d_weight[j] /= it->divisor;
    } else {
        for (int k = 0; k < inputs; k++)
            mean_of(it, units, deltas, s->inputs + k, row, 0, layer.d_weight + (long)k * units, s->sums);
    }
}
static void importance_of_seed(const Importance *it, int seed, ImportanceScratch *s) {
    const NetworkCall *call = &it->call;
    const Network *net = &call->net;
    const Pass *pass = &s->network.pass;
    Tasks tasks = TASKS_OF(call, seed);
    int rows = call->rows, row = padded(net->units[0]), last = net->layers - 1;
    int head_row = padded(net->heads * net->outputs);
    long numbers = (long)rows * net->outputs;
    const float *x = row_of(call->inputs, seed, 0);
    forward(net, seed, rows, x, call->inputs.row, tasks, &s->network.pass, &s->network.bench,
            call->outputs + seed * numbers);
    for (int l = 0; l < net->layers; l++)
        memset(s->deltas[l], 0, sizeof(float) * rows * padded(net->units[l]));
    memset(s->norm_deltas, 0, sizeof(float) * rows * row);
    memset(s->head_deltas, 0, sizeof(float) * rows * head_row);
    for (int k = 0; k < it->scalars; k++)
        add_scalar(it, seed, tasks, call->d_outputs + ((long)seed * it->scalars + k) * numbers, s);
    for (int l = 0; l < net->layers; l++)
        set_layer(it, layer_of(net, seed, l), l ? pass->hidden[l - 1] : x,
                  l ? padded(net->units[l - 1]) : call->inputs.row, s->deltas[l], s);
    set_layer(it, head_of(net, seed), pass->hidden[last], padded(net->units[last]), s->head_deltas, s);
    if (!net->normed) return;
    int units = net->units[0];
    float *gain = net->gradients + net->gain + (long)seed * units;
    set_magnitudes(it, units, pass->normal, row, s->inputs);
    mean_of(it, units, s->inputs, s->norm_deltas, row, 1, gain, s->sums);
    mean_of(it, units, NULL, s->norm_deltas, row, 1,
            net->gradients + net->shift + (long)seed * units, s->sums);
}
