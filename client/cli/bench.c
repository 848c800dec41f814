/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet bench`: closed-loop runs through the public library. Each thread sends its next call when
 * the answer to the last one is there; all share one client, as the threads of a service would.
 */
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/histogram.h"
#include "client/cli/keysets.h"
#include "client/cli/output.h"
#include "common/limits.h"

#define BENCH_MAX_THREADS     64 /* connections that one client keeps */
#define BENCH_MAX_DURATION_MS 3600000
#define BENCH_NUM_TOKENS      64 /* different ones that verify goes through */
#define BENCH_NUM_NEW         16384 /* the same for verify-new: more than the daemon remembers of 4096 */
#define BENCH_ENOUGH_ERRORS   100 /* after which a thread gives up */
#define BENCH_PROGRESS_MS     200
#define BENCH_AUDIENCE        "signet-bench"

enum bench_op {
    BENCH_SIGN,
    BENCH_VERIFY,
    BENCH_VERIFY_NEW,
    BENCH_BATCH_SIGN,
    BENCH_BATCH_VERIFY,
    BENCH_HEALTH,
    BENCH_NUM_OPS
};

static const char *const bench_op_names[BENCH_NUM_OPS] = {
    [BENCH_SIGN] = "sign",
    [BENCH_VERIFY] = "verify",
    [BENCH_VERIFY_NEW] = "verify-new",
    [BENCH_BATCH_SIGN] = "batch-sign",
    [BENCH_BATCH_VERIFY] = "batch-verify",
    [BENCH_HEALTH] = "health",
};

/* What was asked for. */
struct bench_plan {
    bool ops[BENCH_NUM_OPS];
    uint32_t threads[2];
    size_t num_threads;
    uint32_t duration_ms;
    uint32_t batch;
    const char *keyset; /* NULL: all */
    const char *alg;    /* NULL: all */
};

/* One run: an operation, a keyset, a number of threads. Read-only while threads run, but for the
 * counters that they add to. */
struct bench_run {
    struct signet_client *client;
    enum bench_op op;
    const char *keyset; /* "" for health */
    const char *alg;
    uint32_t num_threads;
    uint32_t batch; /* tokens a call; 1 for single calls */
    uint32_t duration_ms;
    struct signet_sign_options sign;
    struct signet_sign_options *sign_requests; /* batch of them */
    struct signet_verify_options verify;
    struct signet_token_view *tokens; /* at least BENCH_NUM_TOKENS and at least batch */
    size_t num_tokens;
    struct signet_sign_batch **signed_tokens; /* own what tokens point to */
    size_t num_signed;
    pthread_barrier_t start;
    _Atomic uint64_t num_done; /* tokens, for the progress line */
};

/* What one thread, and in the end a whole run, has measured. */
struct bench_result {
    struct bench_run *run;
    uint64_t first;            /* the token that its thread begins with */
    struct histogram latency;  /* nanoseconds of good calls */
    uint64_t num_calls;        /* good ones */
    uint64_t num_errors;       /* calls, and results within batches */
    struct signet_error error; /* the first one */
    uint64_t begin_ns, end_ns;
};

static uint64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---- One call ---- */

static signet_status bench_sign(const struct bench_run *run, struct signet_error *error)
{
    struct signet_signed *token = NULL;
    signet_status status = signet_sign(run->client, &run->sign, &token, error);
    signet_signed_free(token);
    return status;
}

static signet_status bench_verify(const struct bench_run *run, uint64_t number,
                                  struct signet_error *error)
{
    struct signet_verified *verified = NULL;
    const struct signet_token_view *token = &run->tokens[number % run->num_tokens];
    signet_status status =
        signet_verify(run->client, token->token, token->token_len, &run->verify, &verified, error);
    signet_verified_free(verified);
    return status;
}

/* A batch is good only if all in it are. */
static signet_status bench_batch_sign(const struct bench_run *run, struct signet_error *error)
{
    struct signet_sign_batch *batch = NULL;
    signet_status status =
        signet_sign_many(run->client, run->sign_requests, run->batch, 0, &batch, error);
    for (size_t i = 0; status == SIGNET_OK && i < run->batch; i++) {
        const struct signet_signed *token = NULL;
        status = signet_sign_batch_get(batch, i, &token, error);
    }
    signet_sign_batch_free(batch);
    return status;
}

static signet_status bench_batch_verify(const struct bench_run *run, struct signet_error *error)
{
    struct signet_verify_batch *batch = NULL;
    signet_status status =
        signet_verify_many(run->client, run->tokens, run->batch, &run->verify, &batch, error);
    for (size_t i = 0; status == SIGNET_OK && i < run->batch; i++) {
        const struct signet_verified *token = NULL;
        status = signet_verify_batch_get(batch, i, &token, error);
    }
    signet_verify_batch_free(batch);
    return status;
}

static signet_status bench_call(const struct bench_run *run, uint64_t number,
                                struct signet_error *error)
{
    switch (run->op) {
    case BENCH_SIGN:
        return bench_sign(run, error);
    case BENCH_VERIFY:
    case BENCH_VERIFY_NEW:
        return bench_verify(run, number, error);
    case BENCH_BATCH_SIGN:
        return bench_batch_sign(run, error);
    case BENCH_BATCH_VERIFY:
        return bench_batch_verify(run, error);
    case BENCH_HEALTH:
        return signet_health(run->client, 0, error);
    case BENCH_NUM_OPS:
    default:
        return SIGNET_INTERNAL;
    }
}

/* ---- Threads ---- */

static void bench_count_error(struct bench_result *result, const struct signet_error *error)
{
    if (result->num_errors++ == 0) {
        result->error = *error;
    }
}

static void *bench_thread(void *argument)
{
    struct bench_result *result = argument;
    struct bench_run *run = result->run;
    struct signet_error error = {.status = SIGNET_OK};

    /* Connects, and warms up what is made on first use; not measured. */
    if (bench_call(run, result->first, &error) != SIGNET_OK) {
        bench_count_error(result, &error);
    }
    (void)pthread_barrier_wait(&run->start);
    result->begin_ns = bench_now_ns();
    uint64_t end = result->begin_ns + (uint64_t)run->duration_ms * 1000000;
    uint64_t before = result->begin_ns;
    uint64_t number = result->first + 1;
    while (before < end && result->num_errors < BENCH_ENOUGH_ERRORS) {
        signet_status status = bench_call(run, number++, &error);
        uint64_t after = bench_now_ns();
        if (status == SIGNET_OK) {
            histogram_add(&result->latency, after - before);
            result->num_calls++;
            (void)atomic_fetch_add_explicit(&run->num_done, run->batch, memory_order_relaxed);
        } else {
            bench_count_error(result, &error);
        }
        before = after;
    }
    result->end_ns = before;
    return NULL;
}

/* On a terminal, shows how far the run is until it should be over. */
static void bench_show_progress(struct bench_run *run)
{
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    const struct timespec step = {.tv_nsec = BENCH_PROGRESS_MS * 1000000L};
    uint64_t begin = bench_now_ns();
    uint64_t elapsed = 0;
    while ((elapsed = bench_now_ns() - begin) < (uint64_t)run->duration_ms * 1000000) {
        uint64_t done = atomic_load_explicit(&run->num_done, memory_order_relaxed);
        (void)fprintf(stderr, "\r%s %s, %" PRIu32 " thread%s: %.1f of %.1f s, %.0f/s \033[K",
                      bench_op_names[run->op], run->keyset, run->num_threads,
                      run->num_threads == 1 ? "" : "s", (double)elapsed / 1e9,
                      (double)run->duration_ms / 1e3,
                      elapsed > 0 ? (double)done * 1e9 / (double)elapsed : 0);
        (void)nanosleep(&step, NULL);
    }
    (void)fputs("\r\033[K", stderr);
}

static void bench_merge(struct bench_result *into, const struct bench_result *from)
{
    histogram_merge(&into->latency, &from->latency);
    if (into->num_errors == 0) {
        into->error = from->error;
    }
    into->num_calls += from->num_calls;
    into->num_errors += from->num_errors;
    into->begin_ns =
        into->begin_ns == 0 || from->begin_ns < into->begin_ns ? from->begin_ns : into->begin_ns;
    into->end_ns = from->end_ns > into->end_ns ? from->end_ns : into->end_ns;
}

/* Runs and measures. A thread that cannot be started ends the program: the others would wait for
 * it. */
static void bench_measure(struct bench_run *run, struct bench_result *total)
{
    pthread_t threads[BENCH_MAX_THREADS] = {0};
    struct bench_result *results = cli_must(calloc(run->num_threads, sizeof(*results)));
    (void)pthread_barrier_init(&run->start, NULL, run->num_threads + 1);
    for (uint32_t i = 0; i < run->num_threads; i++) {
        results[i].run = run;
        results[i].first = (uint64_t)i * run->num_tokens / run->num_threads;
        if (pthread_create(&threads[i], NULL, bench_thread, &results[i]) != 0) {
            (void)fputs("signet: cannot start so many threads; use a smaller --threads\n", stderr);
            exit(CLI_FAILED); // NOLINT(concurrency-mt-unsafe): those that started only wait
        }
    }
    (void)pthread_barrier_wait(&run->start);
    bench_show_progress(run);
    for (uint32_t i = 0; i < run->num_threads; i++) {
        (void)pthread_join(threads[i], NULL);
        bench_merge(total, &results[i]);
    }
    (void)pthread_barrier_destroy(&run->start);
    free(results);
}

/* ---- What a run works on ---- */

static bool bench_needs_tokens(enum bench_op op)
{
    return op == BENCH_VERIFY || op == BENCH_VERIFY_NEW || op == BENCH_BATCH_VERIFY;
}

static size_t bench_num_tokens(const struct bench_run *run)
{
    if (run->op == BENCH_VERIFY_NEW) {
        return BENCH_NUM_NEW;
    }
    return run->batch > BENCH_NUM_TOKENS ? run->batch : BENCH_NUM_TOKENS;
}

static signet_status bench_mint_batch(struct bench_run *run,
                                      const struct signet_sign_options *requests, size_t num,
                                      struct signet_error *error)
{
    struct signet_sign_batch *batch = NULL;
    signet_status status =
        signet_sign_many(run->client, requests, num, SG_MAX_TIMEOUT_MS, &batch, error);
    if (status == SIGNET_OK) {
        run->signed_tokens[run->num_signed++] = batch;
    }
    for (size_t i = 0; status == SIGNET_OK && i < num; i++) {
        const struct signet_signed *token = NULL;
        status = signet_sign_batch_get(batch, i, &token, error);
        if (status == SIGNET_OK) {
            struct signet_token_view *view = &run->tokens[run->num_tokens++];
            view->token = signet_signed_token(token);
            view->token_len = strlen(view->token);
        }
    }
    return status;
}

/* Mints what is to be verified; it lives as long as the keyset allows. */
static signet_status bench_mint(struct bench_run *run, uint32_t max_ttl_s,
                                struct signet_error *error)
{
    size_t num = bench_num_tokens(run);
    struct signet_sign_options requests[SG_MAX_BATCH];
    run->tokens = cli_must(calloc(num, sizeof(*run->tokens)));
    run->signed_tokens =
        cli_must(calloc(num / SG_MAX_BATCH + 1, sizeof(struct signet_sign_batch *)));
    for (size_t i = 0; i < SG_MAX_BATCH; i++) {
        requests[i] = run->sign;
        requests[i].ttl_s = max_ttl_s;
    }
    signet_status status = SIGNET_OK;
    while (status == SIGNET_OK && run->num_tokens < num) {
        size_t left = num - run->num_tokens;
        status = bench_mint_batch(run, requests, left < SG_MAX_BATCH ? left : SG_MAX_BATCH, error);
    }
    return status;
}

static signet_status bench_prepare(struct bench_run *run, const Signet__V1__Keyset *keyset,
                                   struct signet_error *error)
{
    static const char *const audiences[] = {BENCH_AUDIENCE};
    run->sign = (struct signet_sign_options)SIGNET_SIGN_OPTIONS_INIT;
    run->sign.keyset = run->keyset;
    run->sign.subject = "bench";
    run->sign.audiences = audiences;
    run->sign.num_audiences = 1;
    run->verify = (struct signet_verify_options)SIGNET_VERIFY_OPTIONS_INIT;
    run->verify.audiences = audiences;
    run->verify.num_audiences = 1;
    run->sign_requests = cli_must(calloc(run->batch, sizeof(*run->sign_requests)));
    for (size_t i = 0; i < run->batch; i++) {
        run->sign_requests[i] = run->sign;
    }
    return bench_needs_tokens(run->op) ? bench_mint(run, keyset->max_ttl_s, error) : SIGNET_OK;
}

static void bench_run_fini(struct bench_run *run)
{
    free(run->sign_requests);
    free(run->tokens);
    for (size_t i = 0; i < run->num_signed; i++) {
        signet_sign_batch_free(run->signed_tokens[i]);
    }
    free(run->signed_tokens);
}

/* ---- Printing ---- */

static void bench_print_heading(void)
{
    char line[128];
    (void)snprintf(line, sizeof(line), "%-12s %-16s %-6s %7s %12s %10s %10s %10s %7s", "OPERATION",
                   "KEYSET", "ALG", "THREADS", "PER SECOND", "P50 us", "P99 us", "P99.9 us",
                   "ERRORS");
    cli_styled(stdout, CLI_STRONG, line);
    (void)fputc('\n', stdout);
}

static double bench_us(const struct bench_result *result, double quantile)
{
    return (double)histogram_at(&result->latency, quantile) / 1e3;
}

static void bench_print(const struct cli *cli, const struct bench_run *run,
                        const struct bench_result *result)
{
    double seconds = (double)(result->end_ns - result->begin_ns) / 1e9;
    uint64_t num_tokens = result->num_calls * run->batch;
    double rate = seconds > 0 ? (double)num_tokens / seconds : 0;
    if (cli->json) {
        cli_print_json(json_pack(
            "{s:s, s:s, s:s, s:I, s:I, s:f, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "op",
            bench_op_names[run->op], "keyset", run->keyset, "alg", run->alg, "threads",
            (json_int_t)run->num_threads, "batch", (json_int_t)run->batch, "seconds", seconds,
            "calls", (json_int_t)result->num_calls, "tokens", (json_int_t)num_tokens, "errors",
            (json_int_t)result->num_errors, "per_second", rate, "p50_us", bench_us(result, 0.5),
            "p90_us", bench_us(result, 0.9), "p99_us", bench_us(result, 0.99), "p999_us",
            bench_us(result, 0.999), "max_us", (double)result->latency.most / 1e3));
    } else {
        (void)printf("%-12s %-16s %-6s %7" PRIu32 " %12.0f %10.1f %10.1f %10.1f %7" PRIu64 "\n",
                     bench_op_names[run->op], run->keyset, run->alg, run->num_threads, rate,
                     bench_us(result, 0.5), bench_us(result, 0.99), bench_us(result, 0.999),
                     result->num_errors);
    }
    (void)fflush(stdout);
}

/* ---- The plan ---- */

static enum cli_exit bench_run_one(struct cli *cli, const struct bench_plan *plan,
                                   struct signet_client *client, enum bench_op op,
                                   uint32_t num_threads, const Signet__V1__Keyset *keyset)
{
    struct bench_run run = {
        .client = client,
        .op = op,
        .keyset = keyset != NULL ? keyset->name : "",
        .alg = keyset != NULL ? keyset->alg : "",
        .num_threads = num_threads,
        .batch = op == BENCH_BATCH_SIGN || op == BENCH_BATCH_VERIFY ? plan->batch : 1,
        .duration_ms = plan->duration_ms,
    };
    struct bench_result *result = cli_must(calloc(1, sizeof(*result)));
    enum cli_exit exit = CLI_GOOD;
    if (bench_prepare(&run, keyset, &result->error) != SIGNET_OK) {
        exit = cli_fail_call(cli, &result->error);
    } else {
        bench_measure(&run, result);
        bench_print(cli, &run, result);
        if (result->num_errors > 0) {
            exit = cli_fail(cli, cli_exit_of(&result->error),
                            "%s %s: %" PRIu64 " errors, first %s: %s", bench_op_names[op],
                            run.keyset, result->num_errors,
                            signet_status_name(result->error.status), result->error.message);
        }
    }
    bench_run_fini(&run);
    free(result);
    return exit;
}

/* All operations and numbers of threads for one keyset, or, if it is NULL, for none. Goes on after
 * errors, but not without a daemon. */
static enum cli_exit bench_keyset(struct cli *cli, const struct bench_plan *plan,
                                  struct signet_client *client, const Signet__V1__Keyset *keyset)
{
    enum cli_exit worst = CLI_GOOD;
    for (size_t op = 0; op < BENCH_NUM_OPS; op++) {
        if (!plan->ops[op] || (op == BENCH_HEALTH) != (keyset == NULL)) {
            continue;
        }
        for (size_t i = 0; i < plan->num_threads && worst != CLI_UNREACHABLE; i++) {
            enum cli_exit exit =
                bench_run_one(cli, plan, client, (enum bench_op)op, plan->threads[i], keyset);
            worst = exit != CLI_GOOD ? exit : worst;
        }
    }
    return worst;
}

static bool bench_wants(const struct bench_plan *plan, const Signet__V1__Keyset *keyset)
{
    return (plan->keyset == NULL || strcmp(plan->keyset, keyset->name) == 0) &&
           (plan->alg == NULL || strcmp(plan->alg, keyset->alg) == 0);
}

static enum cli_exit bench_keysets(struct cli *cli, const struct bench_plan *plan,
                                   struct signet_client *client)
{
    Signet__V1__ListKeysetsResponse *list = cli_keysets_list(cli, client);
    if (list == NULL) {
        return cli->exit;
    }
    enum cli_exit worst = CLI_GOOD;
    size_t num = 0;
    for (size_t i = 0; i < list->n_keysets && worst != CLI_UNREACHABLE; i++) {
        if (bench_wants(plan, list->keysets[i])) {
            enum cli_exit exit = bench_keyset(cli, plan, client, list->keysets[i]);
            worst = exit != CLI_GOOD ? exit : worst;
            num++;
        }
    }
    signet__v1__list_keysets_response__free_unpacked(list, NULL);
    if (num == 0) {
        return cli_fail(cli, CLI_USAGE,
                        "no keyset fits --keyset and --alg; 'signet keysets' lists them");
    }
    return worst;
}

static enum cli_exit bench_all(struct cli *cli, const struct bench_plan *plan)
{
    struct signet_client *client = NULL;
    if (!cli_connect(cli, &client)) {
        return cli->exit;
    }
    if (!cli->json) {
        bench_print_heading();
    }
    bool only_health = true;
    for (size_t op = 0; op < BENCH_NUM_OPS; op++) {
        only_health = only_health && (!plan->ops[op] || op == BENCH_HEALTH);
    }
    enum cli_exit worst = only_health ? CLI_GOOD : bench_keysets(cli, plan, client);
    if (worst != CLI_UNREACHABLE) {
        enum cli_exit exit = bench_keyset(cli, plan, client, NULL);
        worst = exit != CLI_GOOD ? exit : worst;
    }
    signet_client_free(client);
    return worst;
}

/* ---- Options ---- */

enum bench_option {
    BENCH_OPT_OP = CLI_OPTION_OWN,
    BENCH_OPT_KEYSET,
    BENCH_OPT_ALG,
    BENCH_OPT_THREADS,
    BENCH_OPT_DURATION,
    BENCH_OPT_BATCH
};

static bool bench_read_op(struct cli *cli, struct bench_plan *plan, const char *name)
{
    for (size_t op = 0; op < BENCH_NUM_OPS; op++) {
        if (strcmp(name, bench_op_names[op]) == 0) {
            plan->ops[op] = true;
            return true;
        }
    }
    (void)cli_usage(
        cli, "--op takes sign, verify, verify-new, batch-sign, batch-verify or health; not '%s'",
        name);
    return false;
}

static bool bench_read_option(struct cli *cli, struct bench_plan *plan, int option)
{
    switch (option) {
    case BENCH_OPT_OP:
        return bench_read_op(cli, plan, optarg);
    case BENCH_OPT_KEYSET:
        plan->keyset = optarg;
        return true;
    case BENCH_OPT_ALG:
        plan->alg = optarg;
        return true;
    case BENCH_OPT_THREADS:
        plan->num_threads = 1;
        return cli_read_count(cli, "--threads", optarg, BENCH_MAX_THREADS, &plan->threads[0]);
    case BENCH_OPT_DURATION:
        return cli_read_milliseconds(cli, "--duration", optarg, BENCH_MAX_DURATION_MS,
                                     &plan->duration_ms);
    case BENCH_OPT_BATCH:
        return cli_read_count(cli, "--batch", optarg, SG_MAX_BATCH, &plan->batch);
    default:
        return false; /* help, or a complaint */
    }
}

static enum cli_exit bench_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"op", required_argument, NULL, BENCH_OPT_OP},
        {"keyset", required_argument, NULL, BENCH_OPT_KEYSET},
        {"alg", required_argument, NULL, BENCH_OPT_ALG},
        {"threads", required_argument, NULL, BENCH_OPT_THREADS},
        {"duration", required_argument, NULL, BENCH_OPT_DURATION},
        {"batch", required_argument, NULL, BENCH_OPT_BATCH},
        CLI_COMMON_OPTIONS,
    };
    struct bench_plan plan = {
        .threads = {1, 16}, .num_threads = 2, .duration_ms = 2000, .batch = 64};
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (!bench_read_option(cli, &plan, option)) {
            return cli->exit;
        }
    }
    char **arguments = NULL;
    if (!cli_arguments(cli, argc, argv, 0, 0, &arguments)) {
        return cli->exit;
    }
    bool any = false;
    for (size_t op = 0; op < BENCH_NUM_OPS; op++) {
        any = any || plan.ops[op];
    }
    if (!any) {
        plan.ops[BENCH_SIGN] = true;
        plan.ops[BENCH_VERIFY] = true;
        plan.ops[BENCH_BATCH_VERIFY] = true;
    }
    return bench_all(cli, &plan);
}

const struct cli_command cli_bench = {
    .name = "bench",
    .synopsis = "[--op OP] [--keyset KEYSET] ...",
    .summary = "measure how fast tokens are minted and checked",
    .help =
        "Calls the daemon in closed loops: each thread sends its next call when the last answer is\n"
        "there. Prints tokens per second, and percentiles of a call's time in microseconds. Without\n"
        "options: sign, verify and batch-verify with every keyset, from 1 and from 16 threads.\n"
        "\n"
        "  --op OP            sign, verify, verify-new, batch-sign, batch-verify or health; may be\n"
        "                     repeated. verify goes through 64 tokens, as services that are handed the\n"
        "                     same ones; verify-new through so many that the daemon knows none of them\n"
        "  --keyset KEYSET    only with this keyset\n"
        "  --alg ALG          only with keysets of this algorithm\n"
        "  --threads N        1 to 64 (default 1 and 16)\n"
        "  --duration TIME    of each run (default 2s)\n"
        "  --batch N          tokens in one call of a batch, up to 256 (default 64)\n"
        "\n"
        "A call that fails is counted and makes the exit status other than 0. With --json: one\n"
        "object a run, each on a line: {\"op\", \"keyset\", \"alg\", \"threads\", \"batch\", \"seconds\",\n"
        "\"calls\", \"tokens\", \"errors\", \"per_second\", \"p50_us\", \"p90_us\", \"p99_us\",\n"
        "\"p999_us\", \"max_us\"}.\n",
    .run = bench_run,
};
