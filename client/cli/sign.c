/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet sign`: mints one token.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/output.h"

enum sign_option {
    SIGN_SUB = CLI_OPTION_OWN,
    SIGN_AUD,
    SIGN_TTL,
    SIGN_NOT_BEFORE,
    SIGN_TYP,
    SIGN_CLAIM,
    SIGN_CLAIMS
};

/* What was asked for. */
struct sign_request {
    struct signet_sign_options options;
    struct cli_strings audiences;
    json_t *claims;    /* of every --claim and --claims; owned */
    char *claims_json; /* owned; NULL without claims */
};

static bool sign_add_claim(struct cli *cli, struct sign_request *request, const char *name,
                           json_t *value)
{
    if (json_object_get(request->claims, name) != NULL) {
        (void)cli_usage(cli, "the claim '%s' is given twice", name);
        return false;
    }
    if (json_object_set(request->claims, name, value) != 0) {
        (void)cli_usage(cli, "the name of the claim '%s' is not UTF-8", name);
        return false;
    }
    return true;
}

/* --claim name=value */
static bool sign_read_claim(struct cli *cli, struct sign_request *request, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        (void)cli_usage(cli, "--claim takes NAME=VALUE, not '%s'", text);
        return false;
    }
    char *name = cli_must(strndup(text, (size_t)(equals - text)));
    json_error_t error;
    json_t *value = cli_load_claim(equals + 1, strlen(equals + 1), &error);
    bool good = false;
    if (value == NULL) {
        (void)cli_usage(cli, "--claim: the value of '%s' is not good JSON: %s", name, error.text);
    } else {
        good = sign_add_claim(cli, request, name, value);
    }
    json_decref(value);
    free(name);
    return good;
}

/* --claims '{"name": value, ...}' */
static bool sign_read_claims(struct cli *cli, struct sign_request *request, const char *text)
{
    json_error_t error;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL || !json_is_object(object)) {
        (void)cli_usage(cli, "--claims takes one JSON object: %s",
                        object == NULL ? error.text : "this is not an object");
        json_decref(object);
        return false;
    }
    bool good = true;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(object, name, value)
    {
        good = good && sign_add_claim(cli, request, name, value);
    }
    json_decref(object);
    return good;
}

static bool sign_read_option(struct cli *cli, struct sign_request *request, int option)
{
    switch (option) {
    case SIGN_SUB:
        request->options.subject = optarg;
        return true;
    case SIGN_AUD:
        return cli_strings_add(cli, "--aud", &request->audiences, optarg);
    case SIGN_TTL:
        return cli_read_seconds(cli, "--ttl", optarg, UINT32_MAX, &request->options.ttl_s);
    case SIGN_NOT_BEFORE:
        return cli_read_time(cli, "--not-before", optarg, &request->options.not_before);
    case SIGN_TYP:
        request->options.typ = optarg;
        return true;
    case SIGN_CLAIM:
        return sign_read_claim(cli, request, optarg);
    case SIGN_CLAIMS:
        return sign_read_claims(cli, request, optarg);
    default:
        return false; /* help, or a complaint */
    }
}

static bool sign_read_options(struct cli *cli, int argc, char **argv, struct sign_request *request)
{
    static const struct option options[] = {
        {"sub", required_argument, NULL, SIGN_SUB},
        {"aud", required_argument, NULL, SIGN_AUD},
        {"ttl", required_argument, NULL, SIGN_TTL},
        {"not-before", required_argument, NULL, SIGN_NOT_BEFORE},
        {"typ", required_argument, NULL, SIGN_TYP},
        {"claim", required_argument, NULL, SIGN_CLAIM},
        {"claims", required_argument, NULL, SIGN_CLAIMS},
        CLI_COMMON_OPTIONS,
    };
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (!sign_read_option(cli, request, option)) {
            return false;
        }
    }

    char **arguments = NULL;
    if (!cli_arguments(cli, argc, argv, 1, 1, &arguments)) {
        return false;
    }
    request->options.keyset = arguments[0];
    if (request->options.subject == NULL || request->audiences.num == 0) {
        (void)cli_usage(cli, "%s is required: %s",
                        request->options.subject == NULL ? "--sub SUBJECT" : "--aud AUDIENCE",
                        request->options.subject == NULL ? "who the token speaks of"
                                                         : "who the token is for");
        return false;
    }
    request->options.audiences = request->audiences.items;
    request->options.num_audiences = request->audiences.num;
    if (json_object_size(request->claims) > 0) {
        request->claims_json = cli_must(json_dumps(request->claims, JSON_COMPACT));
        request->options.claims_json = request->claims_json;
    }
    return true;
}

static void sign_print(const struct cli *cli, const struct signet_signed *token)
{
    if (!cli->json) {
        (void)puts(signet_signed_token(token));
        return;
    }
    cli_print_json(json_pack("{s:s, s:s, s:s, s:I, s:I}", "token", signet_signed_token(token),
                             "kid", signet_signed_kid(token), "jti", signet_signed_jti(token),
                             "iat", (json_int_t)signet_signed_issued_at(token), "exp",
                             (json_int_t)signet_signed_expires_at(token)));
}

static enum cli_exit sign_call(struct cli *cli, const struct signet_sign_options *options)
{
    struct signet_client *client = NULL;
    struct signet_signed *token = NULL;
    struct signet_error error;
    if (!cli_connect(cli, &client)) {
        return cli->exit;
    }
    enum cli_exit exit = CLI_GOOD;
    if (signet_sign(client, options, &token, &error) == SIGNET_OK) {
        sign_print(cli, token);
    } else {
        exit = cli_fail_call(cli, &error);
    }
    signet_signed_free(token);
    signet_client_free(client);
    return exit;
}

static enum cli_exit sign_run(struct cli *cli, int argc, char **argv)
{
    struct sign_request request = {.options = SIGNET_SIGN_OPTIONS_INIT};
    request.claims = cli_must(json_object());
    enum cli_exit exit = CLI_GOOD;
    if (sign_read_options(cli, argc, argv, &request)) {
        exit = sign_call(cli, &request.options);
    } else {
        exit = cli->exit;
    }
    free(request.claims_json);
    json_decref(request.claims);
    return exit;
}

const struct cli_command cli_sign = {
    .name = "sign",
    .synopsis = "KEYSET --sub SUBJECT --aud AUDIENCE ...",
    .summary = "mint a token and print it",
    .help =
        "Mints one token and prints it alone. The keyset fixes algorithm and issuer.\n"
        "\n"
        "  --sub SUBJECT        who the token speaks of (\"sub\"); required\n"
        "  --aud AUDIENCE       who the token is for (\"aud\"); required; may be repeated\n"
        "  --ttl TIME           its life, such as 5m or 1h (default: the keyset's)\n"
        "  --not-before TIME    when it begins: 2027-01-31T12:00:00Z, seconds since 1970, or +10m\n"
        "  --typ TYPE           header \"typ\" (default: the keyset's; any other is refused)\n"
        "  --claim NAME=VALUE   one more claim; may be repeated. VALUE is JSON if it is a number,\n"
        "                       true, false or null, or begins with { [ or \"; else a string as it\n"
        "                       stands: zip=01234 is a string, since no JSON number begins with 0\n"
        "  --claims JSON        more claims, as one JSON object; a name given twice is an error\n"
        "\n"
        "Anyone who holds the token can read its claims: put no secrets in them.\n"
        "With --json: {\"token\", \"kid\", \"jti\", \"iat\", \"exp\"}.\n",
    .run = sign_run,
};
