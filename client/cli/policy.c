/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet policy`: who may do what, for operators.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/admin.h"
#include "client/cli/cli.h"
#include "client/cli/output.h"
#include "common/rpc.h"
#include "signet/v1/admin.pb-c.h"

/* For a message that is only packed: protobuf-c's strings are not const. */
static char *policy_wire_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* A line of what the daemon says. */
static void policy_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void policy_say(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int len = vasprintf(&text, format, arguments);
    va_end(arguments);
    text = cli_must(len < 0 ? NULL : text);
    char *safe = cli_escape(text, (size_t)len);
    (void)printf("%s\n", safe);
    free(safe);
    free(text);
}

/* NULL after a complaint; else to be released with protobuf_c_message_free_unpacked. */
static ProtobufCMessage *policy_call(struct cli *cli, const char *method,
                                     const ProtobufCMessage *request,
                                     const ProtobufCMessageDescriptor *response_type)
{
    struct signet_client *client = NULL;
    if (!cli_admin_connect(cli, &client)) {
        return NULL;
    }
    ProtobufCMessage *answer = cli_admin_call(cli, client, method, request, response_type, 0);
    signet_client_free(client);
    return answer;
}

/* ---- explain ---- */

enum explain_option {
    EXPLAIN_PID = CLI_OPTION_OWN,
    EXPLAIN_DO,
    EXPLAIN_KEYSET,
    EXPLAIN_SUB,
    EXPLAIN_AUD,
    EXPLAIN_TTL,
    EXPLAIN_CLAIMS
};

struct explain {
    uint32_t pid, ttl_s;
    const char *right, *keyset, *subject, *claims;
    struct cli_strings audiences;
};

static bool explain_read_option(struct cli *cli, struct explain *explain, int option)
{
    switch (option) {
    case EXPLAIN_PID:
        return cli_read_count(cli, "--pid", optarg, INT32_MAX, &explain->pid);
    case EXPLAIN_DO:
        explain->right = optarg;
        return true;
    case EXPLAIN_KEYSET:
        explain->keyset = optarg;
        return true;
    case EXPLAIN_SUB:
        explain->subject = optarg;
        return true;
    case EXPLAIN_AUD:
        return cli_strings_add(cli, "--aud", &explain->audiences, optarg);
    case EXPLAIN_TTL:
        return cli_read_seconds(cli, "--ttl", optarg, UINT32_MAX, &explain->ttl_s);
    case EXPLAIN_CLAIMS:
        explain->claims = optarg;
        return true;
    default:
        return false; /* help, or a complaint */
    }
}

/* Whether the claim rules are to be applied as well. */
static bool explain_has_token(const struct explain *explain)
{
    return explain->subject != NULL || explain->claims != NULL || explain->ttl_s != 0 ||
           explain->audiences.num > 0;
}

static bool explain_read(struct cli *cli, int argc, char **argv, struct explain *explain)
{
    static const struct option options[] = {
        {"pid", required_argument, NULL, EXPLAIN_PID},
        {"do", required_argument, NULL, EXPLAIN_DO},
        {"keyset", required_argument, NULL, EXPLAIN_KEYSET},
        {"sub", required_argument, NULL, EXPLAIN_SUB},
        {"aud", required_argument, NULL, EXPLAIN_AUD},
        {"ttl", required_argument, NULL, EXPLAIN_TTL},
        {"claims", required_argument, NULL, EXPLAIN_CLAIMS},
        CLI_COMMON_OPTIONS,
    };
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (!explain_read_option(cli, explain, option)) {
            return false;
        }
    }
    char **arguments = NULL;
    if (!cli_arguments(cli, argc, argv, 0, 0, &arguments)) {
        return false;
    }
    if (explain->pid == 0 || explain->right == NULL || explain->keyset == NULL) {
        (void)cli_usage(cli, "--pid PID, --do RIGHT and --keyset KEYSET are required");
        return false;
    }
    if (explain_has_token(explain) && strcmp(explain->right, "sign") != 0) {
        (void)cli_usage(cli,
                        "--sub, --aud, --ttl and --claims say what is to be signed: they go with "
                        "--do sign");
        return false;
    }
    return true;
}

static Signet__V1__ExplainPolicyResponse *explain_ask(struct cli *cli,
                                                      const struct explain *explain)
{
    Signet__V1__ExplainPolicyRequest request = SIGNET__V1__EXPLAIN_POLICY_REQUEST__INIT;
    Signet__V1__SignRequest sign = SIGNET__V1__SIGN_REQUEST__INIT;
    request.pid = explain->pid;
    request.right = policy_wire_text(explain->right);
    request.keyset = policy_wire_text(explain->keyset);
    if (explain_has_token(explain)) {
        if (explain->subject != NULL) {
            sign.subject = policy_wire_text(explain->subject);
        }
        if (explain->claims != NULL) {
            sign.claims_json = policy_wire_text(explain->claims);
        }
        sign.audience = (char **)(uintptr_t)explain->audiences.items;
        sign.n_audience = explain->audiences.num;
        sign.ttl_s = explain->ttl_s;
        request.sign = &sign;
    }
    return (Signet__V1__ExplainPolicyResponse *)policy_call(
        cli, SG_METHOD_EXPLAIN_POLICY, &request.base,
        &signet__v1__explain_policy_response__descriptor);
}

static void explain_add_text(json_t *object, const char *name, const char *text)
{
    if (text[0] != '\0') {
        (void)json_object_set_new(object, name, cli_must(json_string(text)));
    }
}

static json_t *explain_peer_json(const Signet__V1__ExplainedPeer *peer)
{
    json_t *object = cli_must(json_pack("{s:I, s:I, s:I}", "uid", (json_int_t)peer->uid, "gid",
                                        (json_int_t)peer->gid, "pid", (json_int_t)peer->pid));
    explain_add_text(object, "user", peer->user);
    explain_add_text(object, "exe", peer->exe);
    explain_add_text(object, "exe_sha256", peer->exe_sha256);
    explain_add_text(object, "unit", peer->unit);
    explain_add_text(object, "problem", peer->problem);
    if (peer->n_groups > 0) {
        json_t *groups = cli_must(json_array());
        for (size_t i = 0; i < peer->n_groups; i++) {
            (void)json_array_append_new(groups, cli_must(json_integer(peer->groups[i])));
        }
        (void)json_object_set_new(object, "groups", groups);
    }
    return object;
}

static void explain_print_json(const Signet__V1__ExplainPolicyResponse *answer)
{
    json_t *grants = cli_must(json_array());
    for (size_t i = 0; i < answer->n_grants; i++) {
        const Signet__V1__ExplainedGrant *grant = answer->grants[i];
        (void)json_array_append_new(
            grants, cli_must(json_pack("{s:s, s:b, s:s}", "name", grant->name, "matches",
                                       (int)grant->matches, "why", grant->why)));
    }
    json_t *object = cli_must(json_pack("{s:b, s:b, s:o, s:o}", "allowed", (int)answer->allowed,
                                        "keyset_exists", (int)answer->keyset_exists, "peer",
                                        explain_peer_json(answer->peer), "grants", grants));
    explain_add_text(object, "grant", answer->grant);
    explain_add_text(object, "reason", answer->reason);
    explain_add_text(object, "message", answer->message);
    cli_print_json(object);
}

static void explain_print_groups(const Signet__V1__ExplainedPeer *peer)
{
    if (peer->n_groups == 0) {
        return;
    }
    (void)printf("  groups");
    for (size_t i = 0; i < peer->n_groups; i++) {
        (void)printf(" %" PRIu32, peer->groups[i]);
    }
    (void)printf("\n");
}

static void explain_print_peer(const Signet__V1__ExplainedPeer *peer)
{
    policy_say("process %" PRIu32 ": uid %" PRIu32 "%s%s%s, gid %" PRIu32, peer->pid, peer->uid,
               peer->user[0] != '\0' ? " (" : "", peer->user, peer->user[0] != '\0' ? ")" : "",
               peer->gid);
    explain_print_groups(peer);
    if (peer->exe[0] != '\0') {
        policy_say("  runs %s", peer->exe);
    }
    if (peer->exe_sha256[0] != '\0') {
        policy_say("  sha256 %s", peer->exe_sha256);
    }
    if (peer->unit[0] != '\0') {
        policy_say("  unit %s", peer->unit);
    }
    if (peer->problem[0] != '\0') {
        policy_say("  not all is known: %s", peer->problem);
    }
}

static void explain_print(const struct explain *explain,
                          const Signet__V1__ExplainPolicyResponse *answer)
{
    explain_print_peer(answer->peer);
    for (size_t i = 0; i < answer->n_grants; i++) {
        const Signet__V1__ExplainedGrant *grant = answer->grants[i];
        policy_say("  %s grant %s: %s", grant->matches ? "->" : "  ", grant->name, grant->why);
    }
    if (answer->allowed && answer->grant[0] == '\0') {
        policy_say("allowed: %s (%s)", answer->message, answer->reason);
    } else if (answer->allowed) {
        policy_say("allowed: it may %s with keyset %s, by grant %s", explain->right,
                   explain->keyset, answer->grant);
    } else {
        policy_say("denied: %s (%s)", answer->message, answer->reason);
    }
    if (!answer->keyset_exists) {
        policy_say("there is no keyset and no foreign issuer %s", explain->keyset);
    }
}

static enum cli_exit explain_run(struct cli *cli, int argc, char **argv)
{
    struct explain explain = {0};
    if (!explain_read(cli, argc, argv, &explain)) {
        return cli->exit;
    }
    Signet__V1__ExplainPolicyResponse *answer = explain_ask(cli, &explain);
    if (answer == NULL) {
        return cli->exit;
    }
    enum cli_exit exit = answer->allowed ? CLI_GOOD : CLI_REFUSED;
    if (answer->peer == NULL) {
        exit = cli_fail(cli, CLI_UNREACHABLE, "signetd's answer is of no process; is it signetd?");
    } else if (cli->json) {
        explain_print_json(answer);
    } else {
        explain_print(&explain, answer);
    }
    signet__v1__explain_policy_response__free_unpacked(answer, NULL);
    return exit;
}

static const struct cli_command policy_explain = {
    .name = "policy explain",
    .synopsis = "--pid PID --do RIGHT --keyset KEYSET [OPTION ...]",
    .summary = "what a process would be told, and which grant says so",
    .help =
        "Asks the daemon what it would answer the process PID, which has to run, and prints which grant\n"
        "decides, and what of the grants before it did not match. Nothing is minted or changed.\n"
        "\n"
        "  --pid PID          the process\n"
        "  --do RIGHT         sign, verify, revoke or admin\n"
        "  --keyset KEYSET    with which keyset\n"
        "With --do sign, to have the grant's claim rules applied as well:\n"
        "  --sub SUBJECT      of the token\n"
        "  --aud AUDIENCE     of the token; may be given several times\n"
        "  --ttl TIME         its life, such as 15m\n"
        "  --claims JSON      its other claims, as one object\n"
        "\n"
        "Exit status: 0 it would be let do it, 1 it would be denied; else see 'signet help'. Calls the\n"
        "operators' socket (see 'signet help key').\n"
        "With --json: {\"allowed\", \"grant\", \"reason\", \"message\", \"peer\", \"grants\", \"keyset_exists\"}.\n",
    .run = explain_run,
};

/* ---- list ---- */

static void list_print_json(const Signet__V1__ListGrantsResponse *answer)
{
    json_t *grants = cli_must(json_array());
    for (size_t i = 0; i < answer->n_grants; i++) {
        const Signet__V1__Grant *grant = answer->grants[i];
        (void)json_array_append_new(
            grants, cli_must(json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", grant->name, "text",
                                       grant->text, "live_tokens", (json_int_t)grant->live_tokens,
                                       "max_live_tokens", (json_int_t)grant->max_live_tokens,
                                       "frozen_since", (json_int_t)grant->frozen_since)));
    }
    cli_print_json(grants);
}

static void list_print_grant(const Signet__V1__Grant *grant)
{
    policy_say("%s", grant->text);
    if (grant->max_live_tokens > 0) {
        policy_say("    live tokens: %" PRIu64 " of at most %" PRIu64, grant->live_tokens,
                   grant->max_live_tokens);
    }
    if (grant->frozen_since > 0) {
        char since[96];
        cli_format_time(grant->frozen_since, cli_now(), since, sizeof(since));
        policy_say(
            "    FROZEN since %s: it verifies, and does not sign until 'signet policy thaw %s'",
            since, grant->name);
    }
}

static void list_print(const Signet__V1__ListGrantsResponse *answer)
{
    for (size_t i = 0; i < answer->n_grants; i++) {
        list_print_grant(answer->grants[i]);
    }
    if (answer->n_grants == 0) {
        policy_say(
            "There are no grants: nobody may sign or verify. See \"grants\" in signet.yaml(5).");
    }
}

static enum cli_exit list_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    Signet__V1__ListGrantsRequest request = SIGNET__V1__LIST_GRANTS_REQUEST__INIT;
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 0, 0, &arguments)) {
        return cli->exit;
    }
    Signet__V1__ListGrantsResponse *answer = (Signet__V1__ListGrantsResponse *)policy_call(
        cli, SG_METHOD_LIST_GRANTS, &request.base, &signet__v1__list_grants_response__descriptor);
    if (answer == NULL) {
        return cli->exit;
    }
    if (cli->json) {
        list_print_json(answer);
    } else {
        list_print(answer);
    }
    signet__v1__list_grants_response__free_unpacked(answer, NULL);
    return CLI_GOOD;
}

static const struct cli_command policy_list = {
    .name = "policy list",
    .synopsis = "",
    .summary = "the grants in force, in words",
    .help =
        "Prints the grants in force, in the order in which they are tried, and, of those with a\n"
        "max_live_tokens, how many of their tokens have not expired and whether they are frozen.\n"
        "Calls the operators' socket (see 'signet help key').\n"
        "With --json: [{\"name\", \"text\", \"live_tokens\", \"max_live_tokens\", \"frozen_since\"}].\n",
    .run = list_run,
};

/* ---- thaw ---- */

static enum cli_exit thaw_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    Signet__V1__ThawGrantRequest request = SIGNET__V1__THAW_GRANT_REQUEST__INIT;
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 1, 1, &arguments)) {
        return cli->exit;
    }
    request.grant = arguments[0];
    ProtobufCMessage *answer = policy_call(cli, SG_METHOD_THAW_GRANT, &request.base,
                                           &signet__v1__thaw_grant_response__descriptor);
    if (answer == NULL) {
        return cli->exit;
    }
    protobuf_c_message_free_unpacked(answer, NULL);
    if (cli->json) {
        cli_print_json(json_pack("{s:b, s:s}", "thawed", true, "grant", arguments[0]));
    } else {
        (void)printf("Grant %s signs again.\n", arguments[0]);
    }
    return CLI_GOOD;
}

static const struct cli_command policy_thaw = {
    .name = "policy thaw",
    .synopsis = "GRANT",
    .summary = "let a frozen grant sign again",
    .help =
        "Lets a grant sign again that was frozen since more of its tokens were alive than its\n"
        "max_live_tokens. Find out first what minted them: 'signet audit find', 'signet stats'.\n"
        "Calls the operators' socket (see 'signet help key').\n"
        "With --json: {\"thawed\": true, \"grant\"}.\n",
    .run = thaw_run,
};

static const struct cli_command *const policy_commands[] = {&policy_explain, &policy_list,
                                                            &policy_thaw, NULL};

const struct cli_command cli_policy = {
    .name = "policy",
    .synopsis = "COMMAND ...",
    .summary = "who may do what: explain, list, thaw",
    .help = "Who may do what. The grants are in the configuration; see signet.yaml(5).\n",
    .subcommands = policy_commands,
};
