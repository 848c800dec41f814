/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of signet-audit, which is that of `signet audit verify`, `find` and `show`.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base64url.h"
#include "common/jose/json.h"
#include "common/jose/jws.h"
#include "server/audit_tool/tool.h"

#define TOOL_DIR      "/var/lib/signet/audit"
#define TOOL_LAST     20u
#define TOOL_MAX_LAST 100000u

static const char tool_usage[] =
    "Usage: signet audit verify [--dir DIR] [--jwks FILE] [--heads FILE] [--from SEQ] [--json]\n"
    "       signet audit find (--jti JTI | --token TOKEN | --sub SUB) [--since TIME] [--until TIME]\n"
    "                         [--dir DIR] [--json]\n"
    "       signet audit show [--last N] [--dir DIR] [--json]\n"
    "\n"
    "Reads the audit, as root or as the daemon's user. The daemon may go on.\n"
    "\n"
    "  verify   checks every record: finds what was edited, deleted, put elsewhere, doubled or cut\n"
    "           off, and says in which file and line. Says up to which record signed heads vouch.\n"
    "  find     prints the records of a token or a subject: who minted this, and who had it revoked\n"
    "  show     prints the last records\n"
    "\n"
    "  --dir DIR      the daemon's audit.dir (default " TOOL_DIR ")\n"
    "  --jwks FILE    the public keys of heads, from a place that whoever could change the audit\n"
    "                 cannot change (default DIR/" SG_AUDIT_HEADS_FILE ")\n"
    "  --heads FILE   heads that were copied elsewhere, one JWS a line: each must be in the chain\n"
    "  --from SEQ     begin with this record; what is before it is not looked at\n"
    "  --jti JTI      the token with this jti\n"
    "  --token TOKEN  the token's jti is taken from it, whoever signed it; - reads it from standard\n"
    "                 input\n"
    "  --sub SUB      tokens of this subject\n"
    "  --since TIME   2026-11-24T12:00:00Z, seconds since 1970, or -2h for two hours ago (units s, m,\n"
    "  --until TIME   h, d)\n"
    "  --last N       how many records (default 20)\n"
    "  --json         verify: one object; find, show: the records as they are, one a line\n"
    "  --help         print this, and exit\n"
    "\n"
    "Exit status: 0 the chain is whole, or records were found; 1 it is not, or none was; 2 a mistake\n"
    "on the command line; 4 anything else.\n";

enum options_code {
    OPTIONS_DIR = 1,
    OPTIONS_JWKS,
    OPTIONS_HEADS,
    OPTIONS_FROM,
    OPTIONS_JTI,
    OPTIONS_TOKEN,
    OPTIONS_SUB,
    OPTIONS_SINCE,
    OPTIONS_UNTIL,
    OPTIONS_LAST,
    OPTIONS_JSON,
    OPTIONS_HELP
};

static const struct option options_table[] = {
    {"dir", required_argument, NULL, OPTIONS_DIR},
    {"jwks", required_argument, NULL, OPTIONS_JWKS},
    {"heads", required_argument, NULL, OPTIONS_HEADS},
    {"from", required_argument, NULL, OPTIONS_FROM},
    {"jti", required_argument, NULL, OPTIONS_JTI},
    {"token", required_argument, NULL, OPTIONS_TOKEN},
    {"sub", required_argument, NULL, OPTIONS_SUB},
    {"since", required_argument, NULL, OPTIONS_SINCE},
    {"until", required_argument, NULL, OPTIONS_UNTIL},
    {"last", required_argument, NULL, OPTIONS_LAST},
    {"json", no_argument, NULL, OPTIONS_JSON},
    {"help", no_argument, NULL, OPTIONS_HELP},
    {NULL, 0, NULL, 0},
};

enum tool_exit tool_fail(enum tool_exit exit_status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "signet: ");
    (void)vfprintf(stderr, format, arguments);
    (void)fprintf(stderr, "\n");
    va_end(arguments);
    return exit_status;
}

/* ---- Values ---- */

static bool options_take_number(const char *name, uint64_t most, uint64_t *out)
{
    char *end = NULL;
    unsigned long long number = strtoull(optarg, &end, 10);
    if (*optarg < '0' || *optarg > '9' || *end != '\0' || number == 0 || number > most) {
        (void)tool_fail(TOOL_USAGE, "%s takes a number from 1 to %llu", name,
                        (unsigned long long)most);
        return false;
    }
    *out = number;
    return true;
}

/* "-2h": so long ago. */
static bool options_read_ago(const char *text, time_t *out)
{
    char *end = NULL;
    long long number = strtoll(text, &end, 10);
    long long unit = *end == 's'   ? 1
                     : *end == 'm' ? 60
                     : *end == 'h' ? 3600
                     : *end == 'd' ? 86400
                                   : 0;
    if (unit == 0 || end[1] != '\0' || number < -1000000 || number > 0) {
        return false;
    }
    *out = time(NULL) + (time_t)(number * unit);
    return true;
}

static bool options_take_time(const char *name, char out[TOOL_TIME_CAP])
{
    struct tm parts = {.tm_isdst = 0};
    char *end = NULL;
    time_t when = (time_t)strtoll(optarg, &end, 10);
    if (*optarg == '-') {
        end = options_read_ago(optarg, &when) ? strchr(optarg, '\0') : optarg;
    } else if (*end != '\0') {
        end = strptime(optarg, "%Y-%m-%dT%H:%M:%SZ", &parts);
        when = timegm(&parts);
    }
    if (end == NULL || *end != '\0' || *optarg == '\0' || gmtime_r(&when, &parts) == NULL ||
        strftime(out, TOOL_TIME_CAP, "%Y-%m-%dT%H:%M:%S.000Z", &parts) == 0) {
        (void)tool_fail(TOOL_USAGE,
                        "%s takes a time such as 2026-11-24T12:00:00Z, seconds since 1970, "
                        "or -2h",
                        name);
        return false;
    }
    return true;
}

/* The jti that a token claims to have. Nothing about it is checked. */
static bool token_read_jti(const char *token, size_t len, char out[SG_MAX_TOKEN_LEN])
{
    uint8_t payload[SG_MAX_PAYLOAD_LEN];
    size_t payload_len = 0;
    struct sg_jws jws;
    json_t *claims = NULL;
    const char *detail = NULL;
    if (sg_jws_split(token, len, &jws).reason != SIGNET_REASON_NONE ||
        !sg_base64url_decode(jws.payload_b64, jws.payload_b64_len, payload, sizeof(payload),
                             &payload_len) ||
        sg_json_load((const char *)payload, payload_len, sizeof(payload), SG_MAX_JSON_DEPTH,
                     &claims, &detail) != SIGNET_OK) {
        return false;
    }
    const char *jti = tool_text(claims, "jti");
    (void)snprintf(out, SG_MAX_TOKEN_LEN, "%s", jti != NULL ? jti : "");
    json_decref(claims);
    return out[0] != '\0';
}

static bool options_take_token(struct tool_options *options, enum tool_exit *exit_status)
{
    char *text = NULL;
    size_t len = 0;
    if (strcmp(optarg, "-") != 0) {
        text = tool_must(strdup(optarg));
        len = strlen(text);
    } else if (!tool_read_file("-", SG_MAX_TOKEN_LEN + 1, &text, &len)) {
        *exit_status = TOOL_FAILED;
        return false;
    }
    len -= len > 0 && text[len - 1] == '\n' ? 1 : 0;
    bool is_read = token_read_jti(text, len, options->token_jti);
    free(text);
    if (!is_read) {
        (void)tool_fail(TOOL_USAGE, "--token: this is no JWT with a jti");
    }
    options->jti = options->token_jti;
    return is_read;
}

/* ---- Options ---- */

/* False for what ends the program. */
static bool options_take(int code, struct tool_options *options, enum tool_exit *exit_status)
{
    uint64_t number = 0;
    *exit_status = TOOL_USAGE;
    switch (code) {
    case OPTIONS_DIR:
        options->dir = optarg;
        return true;
    case OPTIONS_JWKS:
        options->jwks = optarg;
        return true;
    case OPTIONS_HEADS:
        options->anchors = optarg;
        return true;
    case OPTIONS_FROM:
        return options_take_number("--from", INT64_MAX, &options->from);
    case OPTIONS_JTI:
        options->jti = optarg;
        return true;
    case OPTIONS_TOKEN:
        return options_take_token(options, exit_status);
    case OPTIONS_SUB:
        options->sub = optarg;
        return true;
    case OPTIONS_SINCE:
        return options_take_time("--since", options->since);
    case OPTIONS_UNTIL:
        return options_take_time("--until", options->until);
    case OPTIONS_LAST:
        if (!options_take_number("--last", TOOL_MAX_LAST, &number)) {
            return false;
        }
        options->last = (uint32_t)number;
        return true;
    case OPTIONS_JSON:
        options->json = true;
        return true;
    case OPTIONS_HELP:
        (void)fputs(tool_usage, stdout);
        *exit_status = TOOL_GOOD;
        return false;
    default:
        (void)fputs("Try 'signet audit verify --help'.\n", stderr);
        return false; /* getopt has complained */
    }
}

static bool options_read_command(const char *name, enum tool_command *out)
{
    static const char *const names[] = {
        [TOOL_VERIFY] = "verify", [TOOL_FIND] = "find", [TOOL_SHOW] = "show"};
    for (size_t i = TOOL_VERIFY; i <= TOOL_SHOW; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum tool_command)i;
            return true;
        }
    }
    return false;
}

static bool options_check(const struct tool_options *options, int num_left)
{
    const char *fault = NULL;
    bool is_find = options->command == TOOL_FIND;
    if (num_left != 0) {
        fault = "expected options only";
    } else if ((options->jwks != NULL || options->anchors != NULL || options->from != 0) &&
               options->command != TOOL_VERIFY) {
        fault = "--jwks, --heads and --from go with verify";
    } else if (is_find && options->jti == NULL && options->sub == NULL) {
        fault = "find what? Expected --jti, --token or --sub";
    } else if (!is_find && (options->jti != NULL || options->sub != NULL ||
                            options->since[0] != '\0' || options->until[0] != '\0')) {
        fault = "--jti, --token, --sub, --since and --until go with find";
    } else if (options->last != 0 && options->command != TOOL_SHOW) {
        fault = "--last goes with show";
    }
    if (fault != NULL) {
        (void)tool_fail(TOOL_USAGE, "%s; try 'signet audit verify --help'", fault);
    }
    return fault == NULL;
}

bool tool_options_read(int argc, char **argv, struct tool_options *out, enum tool_exit *exit_status)
{
    int code = 0;
    memset(out, 0, sizeof(*out));
    out->dir = TOOL_DIR;
    *exit_status = TOOL_USAGE;
    if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
        return options_take(OPTIONS_HELP, out, exit_status);
    }
    if (argc < 2 || !options_read_command(argv[1], &out->command)) {
        (void)tool_fail(TOOL_USAGE, "expected verify, find or show; try --help");
        return false;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread. */
    while ((code = getopt_long(argc - 1, argv + 1, "", options_table, NULL)) != -1) {
        if (!options_take(code, out, exit_status)) {
            return false;
        }
    }
    *exit_status = TOOL_USAGE;
    if (!options_check(out, argc - 1 - optind)) {
        return false;
    }
    out->last = out->last != 0 ? out->last : TOOL_LAST;
    return true;
}
