/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet key`: the keys, as operators see and change them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/cli/admin.h"
#include "client/cli/chart.h"
#include "client/cli/cli.h"
#include "client/cli/key_text.h"
#include "client/cli/output.h"
#include "common/rpc.h"

/* For a message that is only packed: protobuf-c's strings are not const. */
static char *key_wire_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ---- The chart ---- */

static size_t key_chart_width(void)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return CHART_DEFAULT_WIDTH;
}

static bool key_is_over(const Signet__V1__Key *key)
{
    return key->state == SIGNET__V1__KEY_STATE__KEY_STATE_RETIRED ||
           key->state == SIGNET__V1__KEY_STATE__KEY_STATE_REVOKED;
}

static void key_print_chart(const Signet__V1__ListedKeyset *keyset)
{
    struct chart_key *keys = cli_must(calloc(keyset->n_keys + 1, sizeof(*keys)));
    size_t num = 0;
    for (size_t i = 0; i < keyset->n_keys; i++) {
        const Signet__V1__Key *key = keyset->keys[i];
        if (!key_is_over(key)) {
            keys[num++] = (struct chart_key){
                .label = key->kid[0] != '\0' ? key->kid : "(new)",
                .published_at = key->created_at,
                .sign_from = key->verify_only ? 0 : key->sign_from,
                .sign_until = key->sign_until,
                .verify_until = key->verify_until,
            };
        }
    }
    char *text = cli_must(cli_chart_draw(keys, num, cli_now(), key_chart_width()));
    (void)fputs(text, stdout);
    if (num < keyset->n_keys) {
        (void)printf("not drawn: %zu retired or revoked\n", keyset->n_keys - num);
    }
    free(text);
    free(keys);
}

/* ---- list ---- */

static void key_add_row(struct cli_table *table, const Signet__V1__Key *key)
{
    char from[CLI_TIME_CAP];
    char until[CLI_TIME_CAP];
    char verified[CLI_TIME_CAP];
    char last[CLI_TIME_CAP];
    char last_bound[CLI_TIME_CAP + 4];
    bool is_bound = key->last_expiry != 0 && !key->last_expiry_is_exact;
    cli_key_time(key->sign_from, from);
    cli_key_time(key->sign_until, until);
    cli_key_time(key->verify_until, verified);
    cli_key_time(key->last_expiry, last);
    (void)snprintf(last_bound, sizeof(last_bound), "%s%s", is_bound ? "<= " : "", last);
    const char *cells[] = {key->kid[0] != '\0' ? key->kid : "(new)",
                           key->alg,
                           cli_key_state(key->state),
                           from,
                           until,
                           verified,
                           last_bound,
                           key->why};
    cli_table_row(table, cells);
}

/* What the keyset does by itself, on one line. */
static void key_print_keyset_line(const Signet__V1__ListedKeyset *keyset)
{
    char every[32];
    char lead[32];
    char next[96];
    char *name = cli_escape(keyset->name, strlen(keyset->name));
    cli_styled(stdout, CLI_STRONG, name);
    free(name);
    if (!keyset->configured) {
        (void)printf(": not in the configuration any more; its keys are kept, and retired\n");
        return;
    }
    cli_format_duration(keyset->publish_lead_s, lead, sizeof(lead));
    if (keyset->rotate_every_s == 0) {
        (void)printf(": a new key on demand only, published %s before it signs\n", lead);
        return;
    }
    cli_format_duration(keyset->rotate_every_s, every, sizeof(every));
    (void)printf(": a new key every %s, published %s before it signs", every, lead);
    if (keyset->next_key_at != 0) {
        cli_format_time(keyset->next_key_at, cli_now(), next, sizeof(next));
        (void)printf("; the next at %s", next);
    }
    (void)printf("\n");
}

static void key_print_keyset(const Signet__V1__ListedKeyset *keyset, bool with_chart)
{
    static const char *const heading[] = {
        "KID", "ALG", "STATE", "SIGNS FROM", "SIGNS UNTIL", "VERIFIED UNTIL", "LAST TOKEN", "WHY"};
    struct cli_table *table = cli_table_new(sizeof(heading) / sizeof(heading[0]));
    key_print_keyset_line(keyset);
    cli_table_row(table, heading);
    for (size_t i = 0; i < keyset->n_keys; i++) {
        key_add_row(table, keyset->keys[i]);
    }
    if (keyset->n_keys > 0) {
        cli_table_print(table, "  ", true);
    } else {
        (void)printf("  (no key)\n");
    }
    cli_table_free(table);
    if (with_chart) {
        (void)printf("\n");
        key_print_chart(keyset);
    }
}

static void key_print_list(const Signet__V1__ListKeysResponse *list, bool with_chart)
{
    for (size_t i = 0; i < list->n_keysets; i++) {
        (void)printf("%s", i > 0 ? "\n" : "");
        key_print_keyset(list->keysets[i], with_chart);
    }
    if (list->n_damaged == 0) {
        return;
    }
    (void)printf("%s", list->n_keysets > 0 ? "\n" : "");
    cli_styled(stdout, CLI_RED, "Files of the keystore that cannot be used:");
    (void)printf("\n");
    for (size_t i = 0; i < list->n_damaged; i++) {
        char *file = cli_escape(list->damaged[i]->file, strlen(list->damaged[i]->file));
        char *problem = cli_escape(list->damaged[i]->problem, strlen(list->damaged[i]->problem));
        (void)printf("  %s: %s\n", file, problem);
        free(problem);
        free(file);
    }
}

/* ---- Calling ---- */

static Signet__V1__ListKeysResponse *key_call_list(struct cli *cli, const char *keyset)
{
    Signet__V1__ListKeysRequest request = SIGNET__V1__LIST_KEYS_REQUEST__INIT;
    struct signet_client *client = NULL;
    if (!cli_admin_connect(cli, &client)) {
        return NULL;
    }
    request.keyset = key_wire_text(keyset);
    ProtobufCMessage *answer = cli_admin_call(cli, client, SG_METHOD_LIST_KEYS, &request.base,
                                              &signet__v1__list_keys_response__descriptor, 0);
    signet_client_free(client);
    return (Signet__V1__ListKeysResponse *)answer;
}

/* A call that may make a key. */
static ProtobufCMessage *key_call_slow(struct cli *cli, const char *method,
                                       const ProtobufCMessage *request,
                                       const ProtobufCMessageDescriptor *response_type)
{
    struct signet_client *client = NULL;
    ProtobufCMessage *answer = NULL;
    if (!cli_admin_connect(cli, &client)) {
        return NULL;
    }
    if (cli_admin_is_there(cli, client)) {
        answer = cli_admin_call(cli, client, method, request, response_type, CLI_ADMIN_SLOW_MS);
    }
    signet_client_free(client);
    return answer;
}

enum key_option {
    KEY_CHART = CLI_OPTION_OWN,
    KEY_NOW,
    KEY_DRY_RUN,
    KEY_KEYSET,
    KEY_YES
};

static enum cli_exit key_list_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"chart", no_argument, NULL, KEY_CHART},
        CLI_COMMON_OPTIONS,
    };
    bool with_chart = false;
    char **arguments = NULL;
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (option != KEY_CHART) {
            return cli->exit;
        }
        with_chart = true;
    }
    if (!cli_arguments(cli, argc, argv, 0, 1, &arguments)) {
        return cli->exit;
    }
    Signet__V1__ListKeysResponse *list = key_call_list(cli, arguments[0]);
    if (list == NULL) {
        return cli->exit;
    }
    if (cli->json) {
        cli_print_json(cli_key_list_json(list));
    } else {
        key_print_list(list, with_chart);
    }
    signet__v1__list_keys_response__free_unpacked(list, NULL);
    return CLI_GOOD;
}

/* ---- rotate ---- */

static bool key_rotate_read(struct cli *cli, int argc, char **argv,
                            Signet__V1__RotateRequest *request)
{
    static const struct option options[] = {
        {"now", no_argument, NULL, KEY_NOW},
        {"dry-run", no_argument, NULL, KEY_DRY_RUN},
        CLI_COMMON_OPTIONS,
    };
    char **arguments = NULL;
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (option == KEY_NOW) {
            request->now = true;
        } else if (option == KEY_DRY_RUN) {
            request->dry_run = true;
        } else {
            return false;
        }
    }
    if (!cli_arguments(cli, argc, argv, 1, 1, &arguments)) {
        return false;
    }
    request->keyset = arguments[0];
    return true;
}

static void key_rotate_print(const Signet__V1__RotateRequest *request,
                             const Signet__V1__RotateResponse *response)
{
    char signs[128];
    char *kid = cli_escape(response->key->kid, strlen(response->key->kid));
    cli_key_signs(response->key, cli_now(), signs, sizeof(signs));
    if (request->dry_run) {
        (void)printf("Nothing was changed. It would be so: %s%s %s\n\n",
                     kid[0] != '\0' ? "key " : "a new key", kid, signs);
        key_print_chart(response->keyset);
    } else {
        (void)printf("%s: key %s is published, and %s\n", request->keyset, kid, signs);
    }
    free(kid);
}

static void key_rotate_print_json(const Signet__V1__RotateRequest *request,
                                  const Signet__V1__RotateResponse *response)
{
    cli_print_json(json_pack("{s:b, s:o, s:o}", "dry_run", request->dry_run, "key",
                             cli_key_json(response->key), "keyset",
                             cli_listed_keyset_json(response->keyset)));
}

static enum cli_exit key_rotate_run(struct cli *cli, int argc, char **argv)
{
    Signet__V1__RotateRequest request = SIGNET__V1__ROTATE_REQUEST__INIT;
    if (!key_rotate_read(cli, argc, argv, &request)) {
        return cli->exit;
    }
    Signet__V1__RotateResponse *response = (Signet__V1__RotateResponse *)key_call_slow(
        cli, SG_METHOD_ROTATE, &request.base, &signet__v1__rotate_response__descriptor);
    if (response == NULL) {
        return cli->exit;
    }
    enum cli_exit exit = CLI_GOOD;
    if (response->key == NULL || response->keyset == NULL) {
        exit = cli_fail(cli, CLI_UNREACHABLE, "signetd's answer names no key; is it signetd?");
    } else if (cli->json) {
        key_rotate_print_json(&request, response);
    } else {
        key_rotate_print(&request, response);
    }
    signet__v1__rotate_response__free_unpacked(response, NULL);
    return exit;
}

/* ---- revoke ---- */

struct key_revocation {
    Signet__V1__RevokeKeyRequest request;
    bool is_sure;
};

/* One kid in 64 begins with '-', and there is no option of one letter but -h: what looks like a row of
 * such is the kid. Takes it out of the arguments; NULL if there is none. */
static char *key_take_dashed_kid(int *argc, char **argv)
{
    for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        char *argument = argv[i];
        if (argument[0] == '-' && argument[1] != '-' && strlen(argument) > 2) {
            (*argc)--;
            memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i + 1) * sizeof(argv[0]));
            return argument;
        }
    }
    return NULL;
}

static bool key_revoke_read(struct cli *cli, int argc, char **argv,
                            struct key_revocation *revocation)
{
    static const struct option options[] = {
        {"keyset", required_argument, NULL, KEY_KEYSET},
        {"yes", no_argument, NULL, KEY_YES},
        CLI_COMMON_OPTIONS,
    };
    char *dashed = key_take_dashed_kid(&argc, argv);
    char **arguments = NULL;
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (option == KEY_KEYSET) {
            revocation->request.keyset = optarg;
        } else if (option == KEY_YES) {
            revocation->is_sure = true;
        } else {
            return false;
        }
    }
    int num = dashed == NULL ? 1 : 0;
    if (!cli_arguments(cli, argc, argv, num, num, &arguments)) {
        return false;
    }
    revocation->request.kid = dashed != NULL ? dashed : arguments[0];
    return true;
}

static bool key_revoke_confirm(struct cli *cli, const char *kid)
{
    char answer[16] = "";
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        (void)cli_usage(cli, "a revoked key never comes back: without a terminal to ask on, say "
                             "--yes");
        return false;
    }
    char *safe = cli_escape(kid, strlen(kid));
    (void)fprintf(stderr,
                  "Key %s will never verify again: every token under it is refused from then on.\n"
                  "Revoke it? [y/N] ",
                  safe);
    (void)fflush(stderr);
    free(safe);
    bool is_sure = fgets(answer, sizeof(answer), stdin) != NULL &&
                   (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0);
    if (!is_sure) {
        (void)cli_fail(cli, CLI_FAILED, "not revoked");
    }
    return is_sure;
}

static void key_revoke_print(const Signet__V1__RevokeKeyResponse *response, const char *asked_kid)
{
    const char *kid = response->key != NULL ? response->key->kid : asked_kid;
    char *revoked = cli_escape(kid, strlen(kid));
    char *signing = cli_escape(response->signing_kid, strlen(response->signing_kid));
    (void)printf("Key %s is revoked: its tokens are refused.\n", revoked);
    if (signing[0] != '\0') {
        (void)printf("Key %s signs now.\n", signing);
    } else {
        (void)printf("No key of its keyset signs.\n");
    }
    free(signing);
    free(revoked);
}

static void key_revoke_print_json(const Signet__V1__RevokeKeyResponse *response)
{
    const char *signing = response->signing_kid[0] != '\0' ? response->signing_kid : NULL;
    cli_print_json(json_pack("{s:o, s:s?}", "key",
                             response->key != NULL ? cli_key_json(response->key) : json_null(),
                             "signing_kid", signing));
}

static enum cli_exit key_revoke_run(struct cli *cli, int argc, char **argv)
{
    struct key_revocation revocation = {.request = SIGNET__V1__REVOKE_KEY_REQUEST__INIT};
    const char *kid = NULL;
    if (!key_revoke_read(cli, argc, argv, &revocation)) {
        return cli->exit;
    }
    kid = revocation.request.kid;
    if (!revocation.is_sure && !key_revoke_confirm(cli, kid)) {
        return cli->exit;
    }
    Signet__V1__RevokeKeyResponse *response = (Signet__V1__RevokeKeyResponse *)key_call_slow(
        cli, SG_METHOD_REVOKE_KEY, &revocation.request.base,
        &signet__v1__revoke_key_response__descriptor);
    if (response == NULL) {
        return cli->exit;
    }
    if (cli->json) {
        key_revoke_print_json(response);
    } else {
        key_revoke_print(response, kid);
    }
    signet__v1__revoke_key_response__free_unpacked(response, NULL);
    return CLI_GOOD;
}

/* ---- The commands ---- */

static const struct cli_command key_list = {
    .name = "key list",
    .synopsis = "[KEYSET] [--chart]",
    .summary = "every key: state, times, and why",
    .help =
        "Lists every key, of all keysets or of one: kid, algorithm and state; from when until when it\n"
        "signs; until when its tokens are accepted; when the last token that it signed expires (\"<= \"\n"
        "before it: at the latest then, since the daemon was not stopped in order); and why it is in\n"
        "its state. Times are in UTC; \"-\": none, or not known yet. Files of the keystore that cannot\n"
        "be used are named below, with what would mend them.\n"
        "\n"
        "  --chart   draw the keys along the time, too\n"
        "\n"
        "With --json: {\"keysets\": [{\"name\", \"configured\", \"rotate_every_s\", \"publish_lead_s\",\n"
        "\"overlap_s\", \"next_key_at\", \"keys\": [{\"kid\", \"alg\", \"state\", \"created_at\", \"sign_from\",\n"
        "\"sign_until\", \"verify_until\", \"last_expiry\", \"last_expiry_is_exact\", \"revoked_at\",\n"
        "\"imported\", \"verify_only\", \"why\"}]}], \"damaged\": [{\"file\", \"problem\"}]}. Times are seconds\n"
        "since 1970, or null.\n",
    .run = key_list_run,
};

static const struct cli_command key_rotate = {
    .name = "key rotate",
    .synopsis = "KEYSET [--now] [--dry-run]",
    .summary = "make a keyset's next key, or let it sign",
    .help =
        "Makes a new key. It is published at once and signs after the keyset's publish_lead, so that\n"
        "verifiers elsewhere know it by then. The old key stays until its last token has expired.\n"
        "\n"
        "  --now       sign with it, or with the next key if there is one already, at once\n"
        "  --dry-run   change nothing; draw what would be\n"
        "\n"
        "With --json: {\"dry_run\", \"key\", \"keyset\"}, as in 'signet key list'.\n",
    .run = key_rotate_run,
};

static const struct cli_command key_revoke = {
    .name = "key revoke",
    .synopsis = "KID [--keyset KEYSET] [--yes]",
    .summary = "end a key at once and for ever",
    .help =
        "Ends a key: every token under it is refused from the answer on, and it never comes back. If\n"
        "it was the one that signs, the keyset's next key, or a new one, signs from now on.\n"
        "\n"
        "  --keyset KEYSET   whose key it is, where several have one of this kid\n"
        "  --yes             do not ask\n"
        "\n"
        "A KID that begins with '--' goes behind a '--' of its own.\n"
        "With --json: {\"key\", \"signing_kid\"}.\n",
    .run = key_revoke_run,
};

static const struct cli_command key_import = {
    .name = cli_import_name,
    .synopsis = cli_import_synopsis,
    .summary = cli_import_summary,
    .help = cli_import_help,
    .program = "signet-seal",
};

static const struct cli_command *const key_commands[] = {&key_list, &key_rotate, &key_revoke,
                                                         &key_import, NULL};

const struct cli_command cli_key = {
    .name = "key",
    .synopsis = "COMMAND ...",
    .summary = "list, rotate, revoke and import keys",
    .help =
        "For operators: the keys, and what is done with them. These commands, those of 'keystore', and\n"
        "'reload' call the operators' socket, which is for root and the daemon's own user: that of\n"
        "--address, else of $SIGNET_ADMIN_ADDRESS, else admin.sock beside the signet.sock of\n"
        "$SIGNET_ADDRESS, else " CLI_DEFAULT_ADMIN_ADDRESS ". What may take long (a key that is\n"
        "made, files that are written) is waited for longer than the two seconds of other calls.\n",
    .subcommands = key_commands,
};
