//@ trim
/* Moves a text to its first character that is no white space, and counts the bytes up to the last one. */
static size_t trim(const char **text)
{
    size_t length;
    if (*text == NULL)
        return 0;
    while (**text != '\0' && strchr(" \t\r\n\v\f", **text) != NULL)
        (*text)++;
    length = strlen(*text);
    while (length > 0 && strchr(" \t\r\n\v\f", (*text)[length - 1]) != NULL)
        length--;
    return length;
}
//@ compare_text
/* As strcmp, of which the first text has so many bytes. */
static int compare_text(const char *text, size_t length, const char *other)
{
    int order = strncmp(text, other, length);
    return order != 0 || other[length] == '\0' ? order : -1;
}
//@ symmetric_log
/* sign(x) ln(1 + |x|) */
static double symmetric_log(double x)
{
    double y = log1p(fabs(x));
    return x < 0.0 ? -y : y;
}
//@ rank_of
/* The share of the training rows below x, from 0 to 1. */
static double rank_of(double x, const double *values, size_t count)
{
    size_t below = 0, upto = 0, last = count - 1, step;
    double place;
    for (step = count; step > 0; step /= 2) {
        while (below + step <= count && values[below + step - 1] < x)
            below += step;
        while (upto + step <= count && values[upto + step - 1] <= x)
            upto += step;
    }
    if (upto == 0)
        place = 0.0;
    else if (below > last)
        place = (double)last;
    else if (upto > below)
        place = (double)(below + upto - 1) / 2.0;
    else
        place = (double)(below - 1) + (x - values[below - 1]) / (values[below] - values[below - 1]);
    return place / (double)last;
}
//@ normal_quantile
/* The normal deviate whose distribution function is p: Wichura, algorithm AS 241, PPND7. */
static double normal_quantile(double p)
{
    double q, r, x;
    p = p < 1e-7 ? 1e-7 : p > 1.0 - 1e-7 ? 1.0 - 1e-7 : p;
    q = p - 0.5;
    if (fabs(q) <= 0.425) {
        r = 0.180625 - q * q;
        return q * (((59.10937472 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179)
            / (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0);
    }
    r = sqrt(-log(q < 0.0 ? p : 1.0 - p)) - 1.6;
    x = (((0.17023821103 * r + 1.3067284830) * r + 2.7568153900) * r + 1.4234372777)
        / ((0.12021132975 * r + 0.73700164250) * r + 1.0);
    return q < 0.0 ? -x : x;
}
//@ put_plain
static void put_plain(float *x, double value)
{
    x[0] = (float)value;
}
//@ put_linear
static void put_linear(float *x, double value, double fill, int is_log, double shift, double scale)
{
    double v = isnan(value) ? fill : value;
    if (is_log)
        v = symmetric_log(v);
    x[0] = (float)((v - shift) * scale);
}
//@ put_quantile
static void put_quantile(float *x, double value, double fill, int is_log, const double *values, size_t count)
{
    double v = isnan(value) ? fill : value;
    if (is_log)
        v = symmetric_log(v);
    x[0] = (float)normal_quantile(rank_of(v, values, count));
}
//@ put_indicator
static void put_indicator(float *x, double value)
{
    x[0] = isnan(value) ? 1.0f : 0.0f;
}
//@ put_sign
static void put_sign(float *x, double value)
{
    x[0] = isnan(value) ? 0.0f : (float)(2.0 * value - 1.0);
}
//@ entry_of
/* The entry of a text among sorted spellings. White space around it doesn't count. */
static size_t entry_of(const char *text, const char *const *spellings, const unsigned int *entries, size_t count,
                       size_t unknown, size_t missing)
{
    size_t low = 0, high = count, length = trim(&text);
    if (length == 0)
        return missing;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_text(text, length, spellings[middle]);
        if (order == 0)
            return entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return unknown;
}
//@ put_one
/* A 1 at the place of an entry, which may be none. */
static void put_one(float *x, size_t width, size_t entry, const unsigned int *places)
{
    size_t i;
    for (i = 0; i < width; i++)
        x[i] = places[entry] == i ? 1.0f : 0.0f;
}
//@ put_entry
static void put_entry(float *x, size_t width, size_t entry, const float *table)
{
    memcpy(x, table + entry * width, width * sizeof(float));
}
//@ put_hash
/* Ones at two places by the 64-bit FNV-1a hash of the text, mixed as MurmurHash3 does. White space around it and a
   fraction of zeros don't count, and marks say that it is missing. */
static void put_hash(float *x, const char *text, size_t buckets, int has_missing, const char *const *marks,
                     size_t count)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    size_t begin = 0, end = trim(&text), i, dot, digits;
    for (i = 0; i < buckets + (has_missing ? 1u : 0u); i++)
        x[i] = 0.0f;
    for (i = 0; i < count && end > 0; i++)
        if (compare_text(text, end, marks[i]) == 0)
            end = 0;
    if (end == 0) {
        if (has_missing)
            x[buckets] = 1.0f;
        return;
    }
    /* 1.00 is 1, and -0 is 0. */
    for (dot = end; dot > begin && text[dot - 1] == '0'; dot--)
        continue;
    dot = dot > begin && dot < end && text[dot - 1] == '.' ? dot - 1 : end;
    digits = begin + (text[begin] == '-' ? 1u : 0u);
    if (digits < dot && (text[digits] != '0' || dot == digits + 1)) {
        for (i = digits; i < dot && text[i] >= '0' && text[i] <= '9'; i++)
            continue;
        if (i == dot) {
            end = dot;
            if (text[digits] == '0')
                begin = digits;
        }
    }
    for (i = begin; i < end; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001B3);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xFF51AFD7ED558CCD);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xC4CEB9FE1A85EC53);
    hash ^= hash >> 33;
    x[(hash >> 32) % buckets] = 1.0f;
    x[hash % buckets] = 1.0f;
}
//@ put_circle
static void put_circle(float *x, double seconds, double length)
{
    double turns = seconds / length;
    double angle = 6.283185307179586 * (turns - floor(turns));
    x[0] = (float)sin(angle);
    x[1] = (float)cos(angle);
}
//@ put_moment
/* How late, and the parts of the year, the day and the week; 0 and an indicator where it is missing. */
static void put_moment(float *x, double seconds, double mean, double deviation, int year, int day, int week,
                       int indicator)
{
    size_t width = (size_t)(1 + 2 * year + 2 * day + 7 * week + indicator), at = 1, i;
    double days = floor(seconds / 86400.0) + 3.0;
    for (i = 0; i < width; i++)
        x[i] = 0.0f;
    if (isnan(seconds)) {
        if (indicator)
            x[width - 1] = 1.0f;
        return;
    }
    x[0] = (float)((seconds - mean) / deviation);
    if (year) {
        put_circle(x + at, seconds, 365.2425 * 86400.0);
        at += 2;
    }
    if (day) {
        put_circle(x + at, seconds, 86400.0);
        at += 2;
    }
    if (week)
        x[at + (size_t)(days - 7.0 * floor(days / 7.0))] = 1.0f;
}
//@ affine
static void affine(float *x, size_t count, const float *shift, const float *scale)
{
    size_t i;
    for (i = 0; i < count; i++)
        x[i] = (x[i] - shift[i]) * scale[i];
}
//@ first_not_finite
/* The place of the first number that is NaN or infinite; the count where there is none. */
static size_t first_not_finite(const float *x, size_t count)
{
    size_t i;
    for (i = 0; i < count && isfinite(x[i]); i++)
        continue;
    return i;
}
//@ copy
static void copy(float *y, size_t count, const float *x)
{
    memcpy(y, x, count * sizeof(float));
}
//@ embed
static void embed(float *y, size_t dims, const float *table, size_t values, float index)
{
    size_t row = index >= 0.0f && index < (float)values ? (size_t)index : 0;
    memcpy(y, table + row * dims, dims * sizeof(float));
}
//@ dense
/* y = W x + b, W: (count, inputs). */
static void dense(float *y, size_t count, const float *x, size_t inputs, const float *weights, const float *bias)
{
    size_t i, j;
    for (i = 0; i < count; i++) {
        double sum = bias[i];
        for (j = 0; j < inputs; j++)
            sum += (double)weights[i * inputs + j] * (double)x[j];
        y[i] = (float)sum;
    }
}
//@ scale_shift
static void scale_shift(float *z, size_t count, const float *scale, const float *shift)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = z[i] * scale[i] + shift[i];
}
//@ layer_norm
static void layer_norm(float *z, size_t count, const float *scale, const float *shift, double epsilon)
{
    double mean = 0.0, variance = 0.0;
    size_t i;
    for (i = 0; i < count; i++)
        mean += (double)z[i] / (double)count;
    for (i = 0; i < count; i++)
        variance += ((double)z[i] - mean) * ((double)z[i] - mean) / (double)count;
    for (i = 0; i < count; i++)
        z[i] = (float)(((double)z[i] - mean) / sqrt(variance + epsilon)) * scale[i] + shift[i];
}
//@ add
static void add(float *z, size_t count, const float *x)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] += x[i];
}
//@ softmax
static void softmax(float *y, size_t count)
{
    double most = y[0], sum = 0.0;
    size_t i;
    for (i = 1; i < count; i++)
        most = y[i] > most ? y[i] : most;
    for (i = 0; i < count; i++)
        sum += exp((double)y[i] - most);
    for (i = 0; i < count; i++)
        y[i] = (float)(exp((double)y[i] - most) / sum);
}
//@ mean_of
/* The mean of what several nets predict. */
static void mean_of(double *outputs, size_t count, const float *y, size_t nets)
{
    size_t i, k;
    for (i = 0; i < count; i++) {
        outputs[i] = 0.0;
        for (k = 0; k < nets; k++)
            outputs[i] += (double)y[k * count + i] / (double)nets;
    }
}
//@ mixture_of
/* Mean and standard deviation of the mixture of normal distributions, means first, then logarithms of variances. */
static void mixture_of(double *outputs, size_t targets, const float *y, size_t nets)
{
    size_t i, k;
    for (i = 0; i < targets; i++) {
        double mean = 0.0, variance = 0.0;
        for (k = 0; k < nets; k++)
            mean += (double)y[2 * k * targets + i] / (double)nets;
        for (k = 0; k < nets; k++) {
            double d = (double)y[2 * k * targets + i] - mean;
            variance += (exp((double)y[(2 * k + 1) * targets + i]) + d * d) / (double)nets;
        }
        outputs[i] = mean;
        outputs[targets + i] = sqrt(variance);
    }
}
//@ of_two
/* The probability of the second of two classes, as those of both. */
static void of_two(double *outputs)
{
    outputs[1] = outputs[0];
    outputs[0] = 1.0 - outputs[1];
}
//@ unscale
static void unscale(double *outputs, size_t count, const double *scale)
{
    size_t i;
    for (i = 0; i < count; i++)
        outputs[i] /= scale[i];
}
//@ shift_by
static void shift_by(double *outputs, size_t count, const double *shift)
{
    size_t i;
    for (i = 0; i < count; i++)
        outputs[i] += shift[i];
}
//@ clamp
static void clamp(double *outputs, size_t count, const double *least, const double *most)
{
    size_t i;
    for (i = 0; i < count; i++)
        outputs[i] = outputs[i] < least[i] ? least[i] : outputs[i] > most[i] ? most[i] : outputs[i];
}
//@ sigmoid_of
static double sigmoid_of(double z)
{
    double e = exp(-fabs(z));
    return (z >= 0.0 ? 1.0 : e) / (1.0 + e);
}
//@ softplus_of
static double softplus_of(double z)
{
    return (z > 0.0 ? z : 0.0) + log1p(exp(-fabs(z)));
}
//@ clip6_of
static double clip6_of(double z)
{
    return z < 0.0 ? 0.0 : z > 6.0 ? 6.0 : z;
}
//@ sigmoid
static void sigmoid(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)sigmoid_of(z[i]);
}
//@ exponential
static void exponential(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)exp(z[i]);
}
//@ tanh_units
static void tanh_units(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)tanh(z[i]);
}
//@ relu
static void relu(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = z[i] < 0.0f ? 0.0f : z[i];
}
//@ relu6
static void relu6(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)clip6_of(z[i]);
}
//@ leaky_relu
static void leaky_relu(float *z, size_t count, double slope)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = z[i] > 0.0f ? z[i] : (float)(slope * (double)z[i]);
}
//@ elu
static void elu(float *z, size_t count, double alpha)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = z[i] > 0.0f ? z[i] : (float)(alpha * expm1(z[i]));
}
//@ selu
static void selu(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)(1.0507009873554805 * (z[i] > 0.0f ? (double)z[i] : 1.6732632423543772 * expm1(z[i])));
}
//@ gelu
static void gelu(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)(0.5 * (double)z[i] * (1.0 + erf((double)z[i] * 0.7071067811865476)));
}
//@ gelu_tanh
static void gelu_tanh(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        double x = z[i];
        z[i] = (float)(0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))));
    }
}
//@ silu
static void silu(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)((double)z[i] * sigmoid_of(z[i]));
}
//@ softplus
static void softplus(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)softplus_of(z[i]);
}
//@ softsign
static void softsign(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)((double)z[i] / (1.0 + fabs((double)z[i])));
}
//@ mish
static void mish(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)((double)z[i] * tanh(softplus_of(z[i])));
}
//@ hard_sigmoid
static void hard_sigmoid(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)(clip6_of((double)z[i] + 3.0) / 6.0);
}
//@ hard_swish
static void hard_swish(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)((double)z[i] * clip6_of((double)z[i] + 3.0) / 6.0);
}
//@ sine
static void sine(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)sin(z[i]);
}
//@ gaussian
static void gaussian(float *z, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        z[i] = (float)exp(-(double)z[i] * (double)z[i]);
}
