/* SPDX-License-Identifier: Apache-2.0
 *
 * Options and their values, complaints, and the client that the options describe.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/cli.h"
#include "client/cli/output.h"
#include "common/limits.h"

/* ---- Failing ---- */

static void options_complain(enum cli_style style, const char *prefix, const char *format,
                             va_list arguments) __attribute__((format(printf, 3, 0)));

static void options_complain(enum cli_style style, const char *prefix, const char *format,
                             va_list arguments)
{
    char *text = NULL;
    int len = vasprintf(&text, format, arguments);
    char *safe = cli_escape(len < 0 ? "out of memory" : text, len < 0 ? 13 : (size_t)len);
    cli_styled(stderr, style, prefix);
    (void)fprintf(stderr, " %s\n", safe);
    free(safe);
    if (len >= 0) {
        free(text);
    }
}

enum cli_exit cli_fail(struct cli *cli, enum cli_exit exit, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    options_complain(CLI_RED, "signet:", format, arguments);
    va_end(arguments);
    cli->exit = exit;
    return exit;
}

void cli_warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    options_complain(CLI_YELLOW, "signet: warning:", format, arguments);
    va_end(arguments);
}

enum cli_exit cli_usage(struct cli *cli, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    return cli_fail(cli, CLI_USAGE, "%s; see 'signet help%s%s'", message,
                    cli->command != NULL ? " " : "",
                    cli->command != NULL ? cli->command->name : "");
}

/* PERMISSION_DENIED is an answer of the daemon, but for this one: there the call did not get to it. */
static bool options_may_not_connect(const struct signet_error *error)
{
    return error->status == SIGNET_PERMISSION_DENIED && strcmp(error->code, "CONNECT_DENIED") == 0;
}

enum cli_exit cli_exit_of(const struct signet_error *error)
{
    if (options_may_not_connect(error)) {
        return CLI_UNREACHABLE;
    }
    switch (error->status) {
    case SIGNET_OK:
        return CLI_GOOD;
    case SIGNET_REJECTED:
        return CLI_REFUSED;
    case SIGNET_INVALID_ARGUMENT:
    case SIGNET_NOT_FOUND:
        return CLI_USAGE;
    case SIGNET_UNAVAILABLE:
    case SIGNET_DEADLINE_EXCEEDED:
    case SIGNET_UNTRUSTED_SERVER:
    case SIGNET_PROTOCOL_ERROR:
        return CLI_UNREACHABLE;
    case SIGNET_CANCELLED:
    case SIGNET_UNKNOWN:
    case SIGNET_ALREADY_EXISTS:
    case SIGNET_PERMISSION_DENIED:
    case SIGNET_RESOURCE_EXHAUSTED:
    case SIGNET_FAILED_PRECONDITION:
    case SIGNET_ABORTED:
    case SIGNET_OUT_OF_RANGE:
    case SIGNET_UNIMPLEMENTED:
    case SIGNET_INTERNAL:
    case SIGNET_DATA_LOSS:
    case SIGNET_UNAUTHENTICATED:
    default:
        return CLI_FAILED;
    }
}

enum cli_exit cli_fail_call(struct cli *cli, const struct signet_error *error)
{
    return cli_fail(cli, cli_exit_of(error), "%s: %s%s%s%s", signet_status_name(error->status),
                    error->message, error->code[0] != '\0' ? " (" : "", error->code,
                    error->code[0] != '\0' ? ")" : "");
}

/* ---- Reading options ---- */

/* optopt is the letter of a short option, the value of a long one, or 0 if there is no such. */
static void options_complain_unknown(struct cli *cli, char **argv)
{
    if (optopt > 0 && optopt < CLI_OPTION_ADDRESS) {
        (void)cli_usage(cli, "unknown option -%c", optopt);
    } else if (optopt == 0) {
        (void)cli_usage(cli, "unknown option %s", argv[optind - 1]);
    } else {
        (void)cli_usage(cli, "%s: this option takes no value", argv[optind - 1]);
    }
}

int cli_next_option(struct cli *cli, int argc, char **argv, const char *flags,
                    const struct option *options)
{
    char short_options[8];
    (void)snprintf(short_options, sizeof(short_options), "%s:h", flags);
    opterr = 0; /* complaints are ours */
    for (;;) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): options are read before there are threads. */
        int option = getopt_long(argc, argv, short_options, options, NULL);
        switch (option) {
        case CLI_OPTION_ADDRESS:
            cli->address = optarg;
            break;
        case CLI_OPTION_TIMEOUT:
            if (!cli_read_milliseconds(cli, "--timeout", optarg, SG_MAX_TIMEOUT_MS,
                                       &cli->timeout_ms)) {
                return CLI_OPTIONS_LEAVE;
            }
            break;
        case CLI_OPTION_JSON:
            cli->json = true;
            break;
        case CLI_OPTION_HELP:
        case 'h':
            cli_print_help(cli->command);
            cli->exit = CLI_GOOD;
            return CLI_OPTIONS_LEAVE;
        case ':':
            (void)cli_usage(cli, "%s needs a value", argv[optind - 1]);
            return CLI_OPTIONS_LEAVE;
        case '?':
            options_complain_unknown(cli, argv);
            return CLI_OPTIONS_LEAVE;
        default:
            return option;
        }
    }
}

bool cli_arguments(struct cli *cli, int argc, char **argv, int least, int most, char ***out)
{
    int num = argc - optind;
    if (num < least) {
        (void)cli_usage(cli, "an argument is missing: %s", cli->command->synopsis);
        return false;
    }
    if (num > most) {
        (void)cli_usage(cli, "too many arguments, from '%s'", argv[optind + most]);
        return false;
    }
    *out = argv + optind;
    return true;
}

bool cli_strings_add(struct cli *cli, const char *option, struct cli_strings *strings,
                     const char *item)
{
    if (strings->num == sizeof(strings->items) / sizeof(strings->items[0])) {
        (void)cli_usage(cli, "%s is given too often", option);
        return false;
    }
    strings->items[strings->num++] = item;
    return true;
}

/* ---- Values ---- */

/* One unit that may follow a number. The letters of "ms" begin like those of "m". */
static const struct {
    const char *name;
    uint64_t milliseconds;
} options_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};

static const char *options_skip_unit(const char *text, uint64_t *milliseconds)
{
    for (size_t i = 0; i < sizeof(options_units) / sizeof(options_units[0]); i++) {
        size_t len = strlen(options_units[i].name);
        if (strncmp(text, options_units[i].name, len) == 0) {
            *milliseconds = options_units[i].milliseconds;
            return text + len;
        }
    }
    return NULL;
}

/* "1h30m", "500ms", "90" (seconds). False if it is none of these or above most, in milliseconds. */
static bool options_parse_duration(const char *text, uint64_t most, uint64_t *out)
{
    uint64_t total = 0;
    bool bare = true;
    if (text[0] == '\0') {
        return false;
    }
    while (*text != '\0') {
        uint64_t number = 0;
        uint64_t unit = 1000;
        if (!isdigit((unsigned char)*text)) {
            return false;
        }
        for (; isdigit((unsigned char)*text); text++) {
            number = number * 10 + (uint64_t)(*text - '0');
            if (number > most) {
                return false;
            }
        }
        if (*text != '\0' || !bare) {
            bare = false;
            text = options_skip_unit(text, &unit);
            if (text == NULL) {
                return false;
            }
        }
        /* number <= most, which is far below 2^63 / 86400000 in every caller. */
        total += number * unit;
        if (total > most) {
            return false;
        }
    }
    *out = total;
    return true;
}

bool cli_read_milliseconds(struct cli *cli, const char *option, const char *text, uint32_t most,
                           uint32_t *out)
{
    uint64_t total = 0;
    if (!options_parse_duration(text, most, &total) || total == 0) {
        char limit[32];
        cli_format_duration(most / 1000, limit, sizeof(limit));
        (void)cli_usage(cli, "%s takes a time such as 500ms or 2s, up to %s; not '%s'", option,
                        limit, text);
        return false;
    }
    *out = (uint32_t)total;
    return true;
}

bool cli_read_seconds(struct cli *cli, const char *option, const char *text, uint32_t most,
                      uint32_t *out)
{
    uint64_t total = 0;
    if (!options_parse_duration(text, (uint64_t)most * 1000, &total) || total % 1000 != 0) {
        char limit[32];
        cli_format_duration(most, limit, sizeof(limit));
        (void)cli_usage(cli, "%s takes whole seconds, such as 30s, 5m or 1h30m, up to %s; not '%s'",
                        option, limit, text);
        return false;
    }
    *out = (uint32_t)(total / 1000);
    return true;
}

bool cli_read_count(struct cli *cli, const char *option, const char *text, uint32_t most,
                    uint32_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = isdigit((unsigned char)text[0]) ? strtoul(text, &end, 10) : 0;
    if (value == 0 || value > most || errno != 0 || *end != '\0') {
        (void)cli_usage(cli, "%s takes a number from 1 to %u; not '%s'", option, most, text);
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

bool cli_read_descriptor(struct cli *cli, const char *option, const char *text, int *out)
{
    char *end = NULL;
    errno = 0;
    long value = isdigit((unsigned char)text[0]) ? strtol(text, &end, 10) : -1;
    if (value < 0 || value > INT_MAX || errno != 0 || *end != '\0' ||
        fcntl((int)value, F_GETFD) < 0) {
        (void)cli_usage(cli, "%s takes the number of an open descriptor; not '%s'", option, text);
        return false;
    }
    *out = (int)value;
    return true;
}

bool cli_read_time(struct cli *cli, const char *option, const char *text, int64_t *out)
{
    const uint64_t most = UINT64_C(100) * 366 * 86400 * 1000; /* a century from now, in ms */
    uint64_t ms = 0;
    if (text[0] == '+' && options_parse_duration(text + 1, most, &ms)) {
        *out = cli_now() + (int64_t)(ms / 1000);
        return true;
    }

    char *end = NULL;
    errno = 0;
    long long number = isdigit((unsigned char)text[0]) ? strtoll(text, &end, 10) : 0;
    if (number > 0 && errno == 0 && *end == '\0') {
        *out = number;
        return true;
    }

    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (rest != NULL && *rest == '\0') {
        *out = timegm(&parts);
        return true;
    }
    (void)cli_usage(cli,
                    "%s takes a time such as 2027-01-31T12:00:00Z, seconds since 1970, or +10m; "
                    "not '%s'",
                    option, text);
    return false;
}

/* ---- The client ---- */

bool cli_connect(struct cli *cli, struct signet_client **out)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_error error;
    options.address = cli->address;
    options.server_uid = cli->server_uid != 0 ? cli->server_uid : options.server_uid;
    options.timeout_ms = cli->timeout_ms;
    if (signet_client_new(&options, out, &error) != SIGNET_OK) {
        (void)cli_fail_call(cli, &error);
        return false;
    }
    return true;
}
