/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet verify`: has the daemon judge one token.
 */
#include <jansson.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/output.h"
#include "common/limits.h"

enum verify_option {
    VERIFY_AUD = CLI_OPTION_OWN,
    VERIFY_ANY_AUD,
    VERIFY_ISS,
    VERIFY_KEYSET,
    VERIFY_SUB,
    VERIFY_TYP,
    VERIFY_SCOPE,
    VERIFY_LEEWAY,
    VERIFY_MAX_AGE,
    VERIFY_CONSUME
};

struct verify_request {
    struct signet_verify_options options;
    struct cli_strings audiences;
    struct cli_strings scopes;
    const char *token; /* the argument */
};

static bool verify_read_option(struct cli *cli, struct verify_request *request, int option)
{
    struct signet_verify_options *options = &request->options;
    switch (option) {
    case VERIFY_AUD:
        return cli_strings_add(cli, "--aud", &request->audiences, optarg);
    case VERIFY_ANY_AUD:
        options->any_audience = true;
        return true;
    case VERIFY_ISS:
        options->issuer = optarg;
        return true;
    case VERIFY_KEYSET:
        options->keyset = optarg;
        return true;
    case VERIFY_SUB:
        options->subject = optarg;
        return true;
    case VERIFY_TYP:
        options->typ = optarg;
        return true;
    case VERIFY_SCOPE:
        return cli_strings_add(cli, "--scope", &request->scopes, optarg);
    case VERIFY_LEEWAY:
        return cli_read_seconds(cli, "--leeway", optarg, SG_MAX_LEEWAY_S, &options->leeway_s);
    case VERIFY_MAX_AGE:
        return cli_read_seconds(cli, "--max-age", optarg, UINT32_MAX, &options->max_age_s);
    case VERIFY_CONSUME:
        options->consume = true;
        return true;
    default:
        return false; /* help, or a complaint */
    }
}

static bool verify_read_options(struct cli *cli, int argc, char **argv,
                                struct verify_request *request)
{
    static const struct option options[] = {
        {"aud", required_argument, NULL, VERIFY_AUD},
        {"any-aud", no_argument, NULL, VERIFY_ANY_AUD},
        {"iss", required_argument, NULL, VERIFY_ISS},
        {"keyset", required_argument, NULL, VERIFY_KEYSET},
        {"sub", required_argument, NULL, VERIFY_SUB},
        {"typ", required_argument, NULL, VERIFY_TYP},
        {"scope", required_argument, NULL, VERIFY_SCOPE},
        {"leeway", required_argument, NULL, VERIFY_LEEWAY},
        {"max-age", required_argument, NULL, VERIFY_MAX_AGE},
        {"consume", no_argument, NULL, VERIFY_CONSUME},
        CLI_COMMON_OPTIONS,
    };
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (!verify_read_option(cli, request, option)) {
            return false;
        }
    }

    char **arguments = NULL;
    if (!cli_arguments(cli, argc, argv, 1, 1, &arguments)) {
        return false;
    }
    request->token = arguments[0];
    if ((request->audiences.num > 0) == request->options.any_audience) {
        (void)cli_usage(cli, request->options.any_audience
                                 ? "--aud and --any-aud exclude each other"
                                 : "--aud AUDIENCE is required: who is the token for? "
                                   "(--any-aud accepts a token for anybody)");
        return false;
    }
    request->options.audiences = request->audiences.items;
    request->options.num_audiences = request->audiences.num;
    request->options.scopes = request->scopes.items;
    request->options.num_scopes = request->scopes.num;
    return true;
}

static enum cli_exit verify_print(struct cli *cli, const struct signet_verified *token)
{
    json_error_t error;
    json_t *claims = json_loads(signet_verified_claims_json(token), JSON_REJECT_DUPLICATES, &error);
    if (claims == NULL) {
        return cli_fail(cli, CLI_FAILED, "the daemon's answer holds claims that are not JSON: %s",
                        error.text);
    }
    if (cli->json) {
        cli_print_json(json_pack("{s:b, s:O, s:s, s:s, s:s}", "verified", 1, "claims", claims,
                                 "kid", signet_verified_kid(token), "keyset",
                                 signet_verified_keyset(token), "typ", signet_verified_typ(token)));
    } else {
        const char *cells[] = {"keyset", signet_verified_keyset(token)};
        const char *more_cells[] = {"key", signet_verified_kid(token)};
        struct cli_table *table = cli_table_new(2);
        cli_table_row(table, cells);
        cli_table_row(table, more_cells);
        cli_styled(stdout, CLI_GREEN, "verified");
        (void)fputc('\n', stdout);
        cli_table_print(table, "  ", false);
        cli_table_free(table);
        cli_styled(stdout, CLI_STRONG, "claims");
        (void)fputc('\n', stdout);
        cli_print_claims(claims, cli_now(), "  ");
    }
    json_decref(claims);
    return CLI_GOOD;
}

static enum cli_exit verify_refused(struct cli *cli, const struct signet_error *error)
{
    if (cli->json) {
        cli_print_json(json_pack("{s:b, s:s, s:s}", "verified", 0, "reason",
                                 signet_reason_name(error->reason), "detail", error->message));
        return CLI_REFUSED;
    }
    return cli_fail(cli, CLI_REFUSED, "refused: %s: %s", signet_reason_name(error->reason),
                    error->message);
}

static enum cli_exit verify_call(struct cli *cli, const struct verify_request *request)
{
    struct signet_client *client = NULL;
    struct signet_verified *verified = NULL;
    struct cli_token token;
    struct signet_error error;
    if (!cli_token_read(cli, request->token, &token)) {
        return cli->exit;
    }
    if (!cli_connect(cli, &client)) {
        cli_token_free(&token);
        return cli->exit;
    }

    enum cli_exit exit = CLI_FAILED;
    signet_status status =
        signet_verify(client, token.text, token.len, &request->options, &verified, &error);
    if (status == SIGNET_OK) {
        exit = verify_print(cli, verified);
    } else if (status == SIGNET_REJECTED) {
        exit = verify_refused(cli, &error);
    } else {
        exit = cli_fail_call(cli, &error);
    }
    signet_verified_free(verified);
    signet_client_free(client);
    cli_token_free(&token);
    return exit;
}

static enum cli_exit verify_run(struct cli *cli, int argc, char **argv)
{
    struct verify_request request = {.options = SIGNET_VERIFY_OPTIONS_INIT};
    if (!verify_read_options(cli, argc, argv, &request)) {
        return cli->exit;
    }
    return verify_call(cli, &request);
}

const struct cli_command cli_verify = {
    .name = "verify",
    .synopsis = "TOKEN --aud AUDIENCE ...",
    .summary = "judge a token and print its claims",
    .help =
        "Has the daemon judge a token, and prints its claims if it is good. TOKEN - reads it from\n"
        "standard input, where other users' process lists do not show it.\n"
        "\n"
        "  --aud AUDIENCE   who the token must be for: \"aud\" must hold this; of several, one\n"
        "  --any-aud        accept a token for anybody; instead of --aud\n"
        "  --iss ISSUER     only with this \"iss\" (default: that of the key's keyset)\n"
        "  --keyset KEYSET  only of this keyset; needed for tokens without \"kid\"\n"
        "  --sub SUBJECT    only with this \"sub\"\n"
        "  --typ TYPE       only with this header \"typ\", such as at+jwt\n"
        "  --scope SCOPE    only if \"scope\" holds this; may be repeated\n"
        "  --leeway TIME    difference of clocks to forgive, up to 5m (default none)\n"
        "  --max-age TIME   only if issued no longer ago than this\n"
        "  --consume        use the token up: it is good once, and REPLAYED afterwards\n"
        "\n"
        "With --json: {\"verified\": true, \"claims\", \"kid\", \"keyset\", \"typ\"}, or\n"
        "{\"verified\": false, \"reason\", \"detail\"}.\n",
    .run = verify_run,
};
