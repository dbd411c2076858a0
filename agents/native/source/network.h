/* A network as in agents/networks/layers.py: hidden layers, and an output head per task.

   A stack of equal networks (one per seed, or twin critics per seed) lies in one flat tensor,
   parameter after parameter: [copies, inputs, units] for a weight, [copies, units] for a bias. */
#pragma once
#include "products.h"

enum { MAX_LAYERS = 8, FEW_ROWS = 2 };

typedef struct {
    int32_t layers, inputs, outputs, heads;
    int32_t normed;     /* layer norm and tanh after the first layer */
    int32_t activation; /* after the others */
    float slope, epsilon;
    int32_t units[MAX_LAYERS];
    int64_t weight[MAX_LAYERS], bias[MAX_LAYERS], gain, shift, head_weight, head_bias; /* places in: */
    const float *values;
    float *gradients; /* laid out like the values */
} Network;

typedef struct { /* one layer of one copy */
    int inputs, units;
    const float *weight, *bias;
    float *d_weight, *d_bias;
} Layer;

INLINE Layer layer_of(const Network *net, int copy, int l) {
    int inputs = l ? net->units[l - 1] : net->inputs, units = net->units[l];
    long weight = net->weight[l] + (long)copy * inputs * units, bias = net->bias[l] + (long)copy * units;
    return (Layer){inputs, units, net->values + weight, net->values + bias,
                   net->gradients + weight, net->gradients + bias};
}
INLINE Layer head_of(const Network *net, int copy) {
    int inputs = net->units[net->layers - 1], units = net->heads * net->outputs;
    long weight = net->head_weight + (long)copy * inputs * units;
    long bias = net->head_bias + (long)copy * units;
    return (Layer){inputs, units, net->values + weight, net->values + bias,
                   net->gradients + weight, net->gradients + bias};
}

/* The tasks of a batch: one for all rows, or one per row (row m of `rows` has that of m % rows). */
typedef struct {
    int one, rows;
    const int64_t *of_row;
} Tasks;

INLINE int task_of(Tasks tasks, int m) {
    return tasks.of_row ? (int)tasks.of_row[m % tasks.rows] : tasks.one;
}
INLINE int head_number(const Network *net, Tasks tasks, int m) { return net->heads == 1 ? 0 : task_of(tasks, m); }

/* Memory for one pass, given out in pieces; without `memory` it only counts. */
typedef struct {
    float *memory;
    int64_t used;
} Arena;

static float *floats(Arena *arena, int64_t n) {
    float *piece = arena->memory ? arena->memory + arena->used : NULL;
    arena->used += (n + 15) / 16 * 16;
    return piece;
}

typedef struct { /* what a forward pass leaves to the backward pass */
    float *hidden[MAX_LAYERS];        /* [rows, padded(units)] */
    float *normal, *scale;            /* of layer norm: the normalised rows, and 1 / deviation */
    int32_t *used, *head, *place;     /* how many heads a batch uses, which, and where each is there */
    float *heads;                     /* their weights, transposed: [used, outputs, padded(inputs)] */
} Pass;

typedef struct { /* what passes of several networks share */
    float *panels, *spare, *delta[2], *d_heads, *row[4];
} Bench;

static int widest(const Network *net) {
    int most = 0;
    for (int l = 0; l < net->layers; l++) most = most > net->units[l] ? most : net->units[l];
    return padded(most);
}
static Pass make_pass(Arena *arena, const Network *net, int rows) {
    Pass pass;
    for (int l = 0; l < net->layers; l++)
        pass.hidden[l] = floats(arena, (int64_t)rows * padded(net->units[l]));
    pass.normal = floats(arena, net->normed ? (int64_t)rows * padded(net->units[0]) : 0);
    pass.scale = floats(arena, rows);
    pass.used = (int32_t *)floats(arena, 1);
    pass.head = (int32_t *)floats(arena, net->heads);
    pass.place = (int32_t *)floats(arena, net->heads);
    pass.heads = floats(arena, (int64_t)net->heads * net->outputs * widest(net));
    return pass;
}
/* What a forward pass left of a row, put in place of another one's. */
static void move_row(const Network *net, Pass *pass, int from, int to) {
    if (from == to) return;
    for (int l = 0; l < net->layers; l++) {
        long row = padded(net->units[l]);
        memcpy(pass->hidden[l] + to * row, pass->hidden[l] + from * row, sizeof(float) * row);
    }
    if (!net->normed) return;
    long row = padded(net->units[0]);
    memcpy(pass->normal + to * row, pass->normal + from * row, sizeof(float) * row);
    pass->scale[to] = pass->scale[from];
}
static Bench make_bench(Arena *arena, int nets, const Network *const net[], int rows) {
    int64_t wide = 0, deep = rows, heads = 0;
    for (int i = 0; i < nets; i++) {
        int64_t width = widest(net[i]), weights = width * net[i]->heads * net[i]->outputs;
        wide = wide > width ? wide : width;
        deep = deep > net[i]->inputs ? deep : net[i]->inputs;
        heads = heads > weights ? heads : weights;
    }
    deep = deep > wide ? deep : wide;
    Bench bench;
    bench.panels = floats(arena, (wide + TILE_COLUMNS) * deep);
    bench.spare = floats(arena, TILE_ROWS * deep);
    bench.d_heads = floats(arena, heads);
    for (int i = 0; i < 2; i++) bench.delta[i] = floats(arena, rows * wide);
    for (int i = 0; i < 4; i++) bench.row[i] = floats(arena, wide);
    return bench;
}

/* A row of parameters, padded. */
static const float *padded_row(const float *from, int n, float *to) {
    for (int j = n; j < padded(n); j++) to[j] = 0.0f;
    return memcpy(to, from, sizeof(float) * n);
}

/* z [rows, padded(units)] becomes tanh(gain * normal + shift), row by row. */
static void norm_and_tanh(const Network *net, int copy, int rows, float *z, Pass *pass, Bench *bench) {
    int units = net->units[0], row = padded(units);
    const float *gain = padded_row(net->values + net->gain + (long)copy * units, units, bench->row[0]);
    const float *shift = padded_row(net->values + net->shift + (long)copy * units, units, bench->row[1]);
    enum { BLOCK = 16 }; /* rows whose sums do not wait for each other */
    for (int first = 0; first < rows; first += BLOCK) {
        int last = smaller(rows, first + BLOCK);
        for (int m = first; m < last; m++) {
            const float *from = z + (long)m * row;
            float *normal = pass->normal + (long)m * row, mean = sum(from, row) / units;
            for (int j = 0; j < row; j += LANES) store(normal + j, load(from + j) - mean);
            for (int j = units; j < row; j++) normal[j] = 0.0f;
        }
        for (int m = first; m < last; m++) {
            const float *normal = pass->normal + (long)m * row;
            pass->scale[m] = 1.0f / sqrtf(dot(normal, normal, row) / units + net->epsilon);
        }
        for (int m = first; m < last; m++) {
            float *normal = pass->normal + (long)m * row, *y = z + (long)m * row;
            for (int j = 0; j < row; j += LANES) {
                lanes n = load(normal + j) * pass->scale[m];
                store(normal + j, n);
                store(y + j, tanh_of(fma(n, load(gain + j), load(shift + j))));
            }
        }
    }
}
/* delta [rows, padded(units)], of the output y, becomes that of the layer norm's input. The first
   `trained` rows give the gradients of gain and shift. */
static void norm_and_tanh_backward(const Network *net, int copy, int rows, int trained, float *delta,
                                   const float *y, const Pass *pass, Bench *bench) {
    int units = net->units[0], row = padded(units);
    const float *gain = padded_row(net->values + net->gain + (long)copy * units, units, bench->row[0]);
    float *d_gain = bench->row[1], *d_shift = bench->row[2];
    memset(d_gain, 0, sizeof(float) * row);
    memset(d_shift, 0, sizeof(float) * row);
    for (int m = 0; m < rows; m++, delta += row, y += row) {
        const float *normal = pass->normal + (long)m * row;
        for (int j = 0; j < row; j += LANES) {
            lanes out = load(y + j), d = load(delta + j) * (1.0f - out * out);
            if (m < trained) {
                store(d_shift + j, load(d_shift + j) + d);
                store(d_gain + j, fma(d, load(normal + j), load(d_gain + j)));
            }
            store(delta + j, d * load(gain + j));
        }
        float mean = sum(delta, row) / units, along = dot(delta, normal, row) / units;
        for (int j = 0; j < row; j += LANES)
            store(delta + j, (load(delta + j) - mean - load(normal + j) * along) * pass->scale[m]);
        for (int j = units; j < row; j++) delta[j] = 0.0f;
    }
    memcpy(net->gradients + net->gain + (long)copy * units, d_gain, sizeof(float) * units);
    memcpy(net->gradients + net->shift + (long)copy * units, d_shift, sizeof(float) * units);
}
/* delta of the output y becomes that of the input of the activation. */
static void activation_backward(const Network *net, int rows, int row, float *delta, const float *y) {
    for (int m = 0; m < rows; m++, delta += row, y += row)
        for (int j = 0; j < row; j += LANES) {
            lanes d = load(delta + j), out = load(y + j);
            if (net->activation == LEAKY_RELU) d = pick(out > all(0.0f), d, d * net->slope);
            if (net->activation == RELU) d = pick(out > all(0.0f), d, all(0.0f));
            if (net->activation == TANH) d = d * (1.0f - out * out);
            store(delta + j, d);
        }
}
static void sum_rows(int rows, int units, const float *delta, float *result, float *sums) {
    int row = padded(units);
    memset(sums, 0, sizeof(float) * row);
    for (int m = 0; m < rows; m++, delta += row)
        for (int j = 0; j < row; j += LANES) store(sums + j, load(sums + j) + load(delta + j));
    memcpy(result, sums, sizeof(float) * units);
}

/* Finds the heads that a batch uses: with 20 tasks most batches use few of 20. */
static void find_heads(const Network *net, int rows, Tasks tasks, Pass *pass) {
    *pass->used = 0;
    for (int i = 0; i < net->heads; i++) pass->place[i] = -1;
    for (int m = 0; m < (tasks.of_row ? rows : 1); m++) {
        int head = head_number(net, tasks, m);
        if (pass->place[head] >= 0) continue;
        pass->place[head] = *pass->used;
        pass->head[(*pass->used)++] = head;
    }
}
/* out[rows, outputs]: what the tasks' heads say of inputs x[rows, inputs]. */
static void forward(const Network *net, int copy, int rows, const float *x, long x_row, Tasks tasks,
                    Pass *pass, Bench *bench, float *out) {
    for (int l = 0; l < net->layers; l++) {
        Layer layer = layer_of(net, copy, l);
        int normed = l == 0 && net->normed, row = padded(layer.units);
        Activation activation = normed ? NOTHING : (Activation)net->activation;
        float *y = pass->hidden[l];
        if (rows <= FEW_ROWS) {
            multiply_few(rows, layer.inputs, layer.units, x, x_row, layer.weight, layer.bias, y, row,
                         activation, net->slope);
        } else {
            pack(layer.inputs, layer.units, layer.weight, layer.units, bench->panels);
            multiply(rows, layer.inputs, layer.units, x, x_row, bench->panels, layer.bias, y, row,
                     bench->spare, activation, net->slope);
        }
        if (normed) norm_and_tanh(net, copy, rows, y, pass, bench);
        x = y;
        x_row = row;
    }
    Layer head = head_of(net, copy);
    int row = padded(head.inputs), outputs = net->outputs;
    find_heads(net, rows, tasks, pass);
    for (int i = 0; i < *pass->used * outputs; i++) {
        float *to = pass->heads + (long)i * row;
        const float *from = head.weight + pass->head[i / outputs] * outputs + i % outputs;
        for (int k = 0; k < head.inputs; k++) to[k] = from[(long)k * head.units];
        for (int k = head.inputs; k < row; k++) to[k] = 0.0f;
    }
    for (int m = 0; m < rows; m++) {
        int number = head_number(net, tasks, m);
        const float *weights = pass->heads + (long)pass->place[number] * outputs * row;
        for (int i = 0; i < outputs; i++)
            out[m * outputs + i] = dot(x + m * x_row, weights + (long)i * row, row)
                                   + head.bias[number * outputs + i];
    }
}

/* The head's gradients from d_out[rows, outputs], and delta[rows, padded(inputs)] of its input. */
static void head_backward(const Network *net, int copy, int rows, int trained, Tasks tasks,
                          const float *d_out, const Pass *pass, Bench *bench, float *delta) {
    Layer head = head_of(net, copy);
    const float *x = pass->hidden[net->layers - 1];
    int outputs = net->outputs, used = *pass->used * outputs, row = padded(head.inputs);
    memset(head.d_weight, 0, sizeof(float) * head.inputs * head.units);
    memset(head.d_bias, 0, sizeof(float) * head.units);
    memset(bench->d_heads, 0, sizeof(float) * used * row);
    for (int m = 0; m < rows; m++, x += row, delta += row, d_out += outputs) {
        int number = head_number(net, tasks, m), at = pass->place[number] * outputs;
        const float *weights = pass->heads + (long)at * row;
        float *gradients = bench->d_heads + (long)at * row;
        for (int j = 0; j < row; j += LANES) {
            lanes d = all(0.0f);
            for (int i = 0; i < outputs; i++) d = fma(all(d_out[i]), load(weights + (long)i * row + j), d);
            store(delta + j, d);
        }
        if (m >= trained) continue;
        for (int i = 0; i < outputs; i++) {
            head.d_bias[number * outputs + i] += d_out[i];
            for (int j = 0; j < row; j += LANES) {
                float *gradient = gradients + (long)i * row + j;
                store(gradient, fma(all(d_out[i]), load(x + j), load(gradient)));
            }
        }
    }
    for (int i = 0; i < used; i++) {
        float *to = head.d_weight + pass->head[i / outputs] * outputs + i % outputs;
        for (int k = 0; k < head.inputs; k++) to[(long)k * head.units] = bench->d_heads[(long)i * row + k];
    }
}

/* Layer l's delta is in bench->delta[l % 2]: this is the last one's. */
INLINE float *top_delta(const Network *net, Bench *bench) { return bench->delta[(net->layers - 1) % 2]; }

/* below [rows, padded(inputs)], the delta of a layer's input, from that of its sums [rows, padded(units)]. */
static void delta_below(Layer layer, int rows, const float *delta, float *below, Bench *bench) {
    pack_transposed(layer.units, layer.inputs, layer.weight, layer.units, bench->panels);
    multiply(rows, layer.units, layer.inputs, delta, padded(layer.units), bench->panels, NULL, below,
             padded(layer.inputs), bench->spare, NOTHING, 0.0f);
}

/* All gradients from d_out[rows, outputs]; heads that no row uses get zeros. Gradients of
   parameters come from the first `trained` rows; the result is the delta [rows, padded(units)] of
   the first layer before its activation, for all rows. */
static const float *backward(const Network *net, int copy, int rows, int trained, const float *x,
                             long x_row, Tasks tasks, const float *d_out, Pass *pass, Bench *bench) {
    head_backward(net, copy, rows, trained, tasks, d_out, pass, bench, top_delta(net, bench));
    for (int l = net->layers - 1; l >= 0; l--) {
        Layer layer = layer_of(net, copy, l);
        int row = padded(layer.units);
        float *delta = bench->delta[l % 2];
        if (l == 0 && net->normed)
            norm_and_tanh_backward(net, copy, rows, trained, delta, pass->hidden[0], pass, bench);
        else
            activation_backward(net, rows, row, delta, pass->hidden[l]);
        sum_rows(trained, layer.units, delta, layer.d_bias, bench->row[3]);
        multiply_transposed(trained, layer.inputs, layer.units, l ? pass->hidden[l - 1] : x,
                            l ? padded(layer.inputs) : x_row, delta, row, layer.d_weight,
                            bench->panels, bench->spare);
        if (l) delta_below(layer, rows, delta, bench->delta[(l + 1) % 2], bench);
    }
    return bench->delta[0];
}
