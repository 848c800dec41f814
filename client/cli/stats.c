/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet stats`: what the daemon does, in numbers, once or again and again.
 */
#include "client/cli/stats.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/cli/admin.h"
#include "client/cli/output.h"

#define STATS_DEFAULT_INTERVAL_MS 2000u
#define STATS_MAX_INTERVAL_MS     3600000u

/* Home, and nothing from there on: what stood there is drawn over without a flash. */
static const char stats_redraw[] = "\033[H\033[J";

struct stats_watch {
    uint32_t interval_ms; /* 0: once */
    bool is_terminal;
    int signal_fd;                     /* what ends it, in order; -1 unless it is watched */
    Signet__V1__StatsResponse *before; /* of the last round; owned */
    bool has_printed;
};

/* ---- One round ---- */

static bool stats_is_same_run(const Signet__V1__StatsResponse *stats,
                              const Signet__V1__StatsResponse *before)
{
    return before != NULL && before->started_at == stats->started_at &&
           before->uptime_ms < stats->uptime_ms;
}

/* A copy that can be subtracted from. */
static Signet__V1__StatsResponse *stats_copy(const Signet__V1__StatsResponse *stats)
{
    size_t len = signet__v1__stats_response__get_packed_size(stats);
    uint8_t *bytes = cli_must(malloc(len + 1));
    (void)signet__v1__stats_response__pack(stats, bytes);
    Signet__V1__StatsResponse *copy =
        cli_must(signet__v1__stats_response__unpack(NULL, len, bytes));
    free(bytes);
    return copy;
}

static void stats_show(const struct cli *cli, struct stats_watch *watch,
                       const Signet__V1__StatsResponse *stats, double seconds)
{
    if (cli->json) {
        cli_print_json(cli_stats_json(stats, seconds));
        return;
    }
    if (watch->is_terminal && watch->interval_ms > 0) {
        (void)fputs(stats_redraw, stdout);
    } else if (watch->has_printed) {
        (void)fputc('\n', stdout);
    }
    cli_stats_print(stats, seconds);
    watch->has_printed = true;
}

/* Asks, and shows what was counted since the last round, or since the daemon's start in the first and after
 * another start. False after a complaint. */
static bool stats_round(struct cli *cli, struct signet_client *client, struct stats_watch *watch)
{
    Signet__V1__StatsResponse *stats = cli_stats_get(cli, client);
    if (stats == NULL) {
        return false;
    }
    uint64_t counted_ms = stats->uptime_ms > 0 ? stats->uptime_ms : 1;
    Signet__V1__StatsResponse *shown = stats_copy(stats);
    if (stats_is_same_run(stats, watch->before)) {
        counted_ms = stats->uptime_ms - watch->before->uptime_ms;
        cli_stats_subtract(shown, watch->before);
    }
    stats_show(cli, watch, shown, (double)counted_ms / 1000);
    signet__v1__stats_response__free_unpacked(shown, NULL);
    if (watch->before != NULL) {
        signet__v1__stats_response__free_unpacked(watch->before, NULL);
    }
    watch->before = stats;
    return true;
}

/* ---- Again and again ---- */

/* Signals that end it are waited for, so that no half of a table is the last that is written. */
static bool stats_begin_watching(struct cli *cli, struct stats_watch *watch)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    watch->is_terminal = isatty(STDOUT_FILENO) == 1;
    if (watch->interval_ms == 0) {
        return true;
    }
    watch->signal_fd =
        sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? signalfd(-1, &set, SFD_CLOEXEC) : -1;
    if (watch->signal_fd < 0) {
        (void)cli_fail(cli, CLI_FAILED, "cannot wait for signals: %s", strerrordesc_np(errno));
        return false;
    }
    return true;
}

/* Waits for the next round. False when there is to be none: a signal came, or nobody reads any more. */
static bool stats_wait(const struct stats_watch *watch)
{
    struct pollfd fds[] = {
        {.fd = watch->signal_fd, .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0}, /* POLLERR: the other end of the pipe is closed */
    };
    if (watch->interval_ms == 0 || fflush(stdout) != 0) {
        return false;
    }
    int num = poll(fds, 2, (int)watch->interval_ms);
    return num == 0 || (num < 0 && errno == EINTR);
}

static enum cli_exit stats_watch(struct cli *cli, struct signet_client *client,
                                 struct stats_watch *watch)
{
    enum cli_exit exit = CLI_GOOD;
    if (!stats_begin_watching(cli, watch)) {
        return cli->exit;
    }
    do {
        exit = stats_round(cli, client, watch) ? CLI_GOOD : cli->exit;
    } while (exit == CLI_GOOD && stats_wait(watch));
    if (watch->signal_fd >= 0) {
        (void)close(watch->signal_fd);
    }
    if (watch->before != NULL) {
        signet__v1__stats_response__free_unpacked(watch->before, NULL);
    }
    return exit;
}

/* ---- Options ---- */

enum stats_option {
    STATS_OPT_WATCH = CLI_OPTION_OWN
};

/* "2", "2s", "500ms": people say seconds without their unit here. */
static bool stats_read_interval(struct cli *cli, const char *text, uint32_t *out_ms)
{
    uint32_t seconds = 0;
    if (text[strspn(text, "0123456789")] != '\0') {
        return cli_read_milliseconds(cli, "--watch", text, STATS_MAX_INTERVAL_MS, out_ms);
    }
    if (!cli_read_count(cli, "--watch", text, STATS_MAX_INTERVAL_MS / 1000, &seconds)) {
        return false;
    }
    *out_ms = seconds * 1000;
    return true;
}

static bool stats_read_options(struct cli *cli, int argc, char **argv, struct stats_watch *watch)
{
    static const struct option options[] = {
        {"watch", optional_argument, NULL, STATS_OPT_WATCH},
        CLI_COMMON_OPTIONS,
    };
    int option = 0;
    char **arguments = NULL;
    bool takes_argument = false;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (option != STATS_OPT_WATCH) {
            return false;
        }
        takes_argument = optarg == NULL;
        watch->interval_ms = STATS_DEFAULT_INTERVAL_MS;
        if (optarg != NULL && !stats_read_interval(cli, optarg, &watch->interval_ms)) {
            return false;
        }
    }
    if (!cli_arguments(cli, argc, argv, 0, takes_argument ? 1 : 0, &arguments)) {
        return false;
    }
    return *arguments == NULL || stats_read_interval(cli, *arguments, &watch->interval_ms);
}

static enum cli_exit stats_run(struct cli *cli, int argc, char **argv)
{
    struct stats_watch watch = {.signal_fd = -1};
    struct signet_client *client = NULL;
    if (!stats_read_options(cli, argc, argv, &watch) || !cli_admin_connect(cli, &client)) {
        return cli->exit;
    }
    enum cli_exit exit = stats_watch(cli, client, &watch);
    signet_client_free(client);
    return exit;
}

const struct cli_command cli_stats = {
    .name = "stats",
    .synopsis = "[--watch [SECONDS]]",
    .summary = "say what the daemon does, in numbers",
    .help =
        "Says what the daemon does, in numbers: calls by method with what they took from reading a\n"
        "request to its answer, what was refused and why, algorithms, keysets, and users. P50, P95 and\n"
        "P99 are what half, 95 and 99 of 100 calls did not exceed, within 1 in 16. QUEUE is the time\n"
        "until work was begun, CRYPTO that for signatures. CPU is of one processor. Calls the\n"
        "operators' socket (see 'signet help key').\n"
        "\n"
        "  --watch [SECONDS]  again and again, every 2 seconds or so many (or 500ms), with what was\n"
        "                     counted meanwhile; the first time since the daemon's start. Ends with\n"
        "                     Ctrl-C, or when nobody reads any more\n"
        "\n"
        "With --json: one object a round, with every field of StatsResponse in admin.proto, and\n"
        "\"seconds\", the time in which it was counted.\n",
    .run = stats_run,
};
