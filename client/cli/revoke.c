/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet revoke`: has tokens refused. `signet revocations`: what is revoked, for operators.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/admin.h"
#include "client/cli/cli.h"
#include "client/cli/key_text.h"
#include "client/cli/output.h"
#include "common/rpc.h"
#include "signet/v1/admin.pb-c.h"

#define REVOKE_PAGE 500u /* the most that one answer may hold */

/* A revocation, whichever of the two calls it came from. */
struct revoke_view {
    signet_revoked_kind kind;
    const char *issuer, *keyset, *name, *reason;
    int64_t revoked_at, until;
    uint32_t uid;
};

static const char *revoke_kind_name(signet_revoked_kind kind)
{
    switch (kind) {
    case SIGNET_REVOKED_TOKEN:
        return "token";
    case SIGNET_REVOKED_SUBJECT:
        return "subject";
    case SIGNET_REVOKED_KEYSET:
        return "keyset";
    case SIGNET_REVOKED_KID:
        return "kid";
    default:
        return NULL;
    }
}

static void revoke_print_json(const struct revoke_view *view)
{
    cli_print_json(
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:I, s:s}", "kind", revoke_kind_name(view->kind),
                  "issuer", view->issuer, "keyset", view->keyset, "name", view->name, "revoked_at",
                  (json_int_t)view->revoked_at, "until",
                  view->until == 0 ? json_null() : cli_must(json_integer((json_int_t)view->until)),
                  "uid", (json_int_t)view->uid, "reason", view->reason));
}

/* ---- revoke ---- */

enum revoke_option {
    REVOKE_TOKEN = CLI_OPTION_OWN,
    REVOKE_JTI,
    REVOKE_SUBJECT,
    REVOKE_KID,
    REVOKE_ALL,
    REVOKE_KEYSET,
    REVOKE_EXPIRES_AT,
    REVOKE_REASON
};

static bool revoke_read_option(struct cli *cli, struct signet_revoke_options *options, int option)
{
    switch (option) {
    case REVOKE_TOKEN:
        options->token = optarg;
        return true;
    case REVOKE_JTI:
        options->jti = optarg;
        return true;
    case REVOKE_SUBJECT:
        options->subject = optarg;
        return true;
    case REVOKE_KID:
        options->kid = optarg;
        return true;
    case REVOKE_ALL:
        options->all = true;
        return true;
    case REVOKE_KEYSET:
        options->keyset = optarg;
        return true;
    case REVOKE_EXPIRES_AT:
        return cli_read_time(cli, "--expires-at", optarg, &options->expires_at);
    case REVOKE_REASON:
        options->reason = optarg;
        return true;
    default:
        return false; /* help, or a complaint */
    }
}

static bool revoke_check_options(struct cli *cli, const struct signet_revoke_options *options)
{
    int num = (options->token != NULL) + (options->jti != NULL) + (options->subject != NULL) +
              (options->kid != NULL) + options->all;
    if (num != 1) {
        (void)cli_usage(cli, num == 0
                                 ? "--token, --jti, --subject, --kid or --all is required: what "
                                   "is to be revoked?"
                                 : "--token, --jti, --subject, --kid and --all exclude each "
                                   "other");
        return false;
    }
    if (options->keyset == NULL && options->token == NULL) {
        (void)cli_usage(cli, "--keyset KEYSET is required: whose tokens are they?");
        return false;
    }
    if (options->expires_at != 0 && options->jti == NULL) {
        (void)cli_usage(cli, "--expires-at goes with --jti only");
        return false;
    }
    return true;
}

static bool revoke_read_options(struct cli *cli, int argc, char **argv,
                                struct signet_revoke_options *out)
{
    static const struct option options[] = {
        {"token", required_argument, NULL, REVOKE_TOKEN},
        {"jti", required_argument, NULL, REVOKE_JTI},
        {"subject", required_argument, NULL, REVOKE_SUBJECT},
        {"kid", required_argument, NULL, REVOKE_KID},
        {"all", no_argument, NULL, REVOKE_ALL},
        {"keyset", required_argument, NULL, REVOKE_KEYSET},
        {"expires-at", required_argument, NULL, REVOKE_EXPIRES_AT},
        {"reason", required_argument, NULL, REVOKE_REASON},
        CLI_COMMON_OPTIONS,
    };
    char **arguments = NULL;
    int option = 0;
    while ((option = cli_next_option(cli, argc, argv, "", options)) != CLI_OPTIONS_DONE) {
        if (!revoke_read_option(cli, out, option)) {
            return false;
        }
    }
    return cli_arguments(cli, argc, argv, 0, 0, &arguments) && revoke_check_options(cli, out);
}

/* The token as a string, from standard input if the option says so. NULL after a complaint; else free() it. */
static char *revoke_read_token(struct cli *cli, const char *argument)
{
    struct cli_token token;
    if (!cli_token_read(cli, argument, &token)) {
        return NULL;
    }
    char *text = NULL;
    /* With a NUL in it, another one would be revoked: that which ends there. */
    if (memchr(token.text, '\0', token.len) != NULL) {
        (void)cli_usage(cli, "what is on standard input is no token: it holds a NUL");
    } else {
        text = cli_must(strndup(token.text, token.len));
    }
    cli_token_free(&token);
    return text;
}

/* From which second on new tokens are good again. */
static void revoke_print_since(const char *whose, const struct revoke_view *view)
{
    char last[CLI_TIME_CAP];
    char next[CLI_TIME_CAP];
    cli_key_time(view->revoked_at, last);
    cli_key_time(view->revoked_at + 1, next);
    (void)printf("%s that was issued until %s, in that second too, is refused from now on.\n"
                 "Tokens that are issued from %s on are good.\n",
                 whose, last, next);
}

static void revoke_print(const struct revoke_view *view)
{
    char *issuer = cli_escape(view->issuer, strlen(view->issuer));
    char *name = cli_escape(view->name, strlen(view->name));
    char *keyset = cli_escape(view->keyset, strlen(view->keyset));
    char until[CLI_TIME_CAP];
    switch (view->kind) {
    case SIGNET_REVOKED_TOKEN:
        (void)printf("Token %s of %s is revoked: it is refused from now on.\n", name, issuer);
        break;
    case SIGNET_REVOKED_SUBJECT:
        (void)printf("Subject %s of %s is revoked.\n", name, issuer);
        revoke_print_since("Every token for it", view);
        break;
    case SIGNET_REVOKED_KEYSET:
        (void)printf("All tokens of keyset %s are revoked.\n", keyset);
        revoke_print_since("Every token under its keys", view);
        break;
    case SIGNET_REVOKED_KID:
        (void)printf(
            "Key %s of keyset %s is revoked: every token under it is refused from now on.\n", name,
            keyset);
        break;
    }
    cli_key_time(view->until, until);
    if (view->until == 0) {
        (void)printf("This is never forgotten.\n");
    } else {
        (void)printf(
            "This may be forgotten after %s, when none of them can be accepted any more.\n", until);
    }
    free(keyset);
    free(name);
    free(issuer);
}

static enum cli_exit revoke_call(struct cli *cli, const struct signet_revoke_options *options)
{
    struct signet_client *client = NULL;
    struct signet_revocation *revocation = NULL;
    struct signet_error error;
    if (!cli_connect(cli, &client)) {
        return cli->exit;
    }
    enum cli_exit exit = CLI_GOOD;
    if (signet_revoke(client, options, &revocation, &error) == SIGNET_OK) {
        const struct revoke_view view = {
            .kind = signet_revocation_kind(revocation),
            .issuer = signet_revocation_issuer(revocation),
            .keyset = signet_revocation_keyset(revocation),
            .name = signet_revocation_name(revocation),
            .reason = signet_revocation_reason(revocation),
            .revoked_at = signet_revocation_revoked_at(revocation),
            .until = signet_revocation_until(revocation),
            .uid = signet_revocation_uid(revocation),
        };
        if (cli->json) {
            revoke_print_json(&view);
        } else {
            revoke_print(&view);
        }
    } else {
        exit = cli_fail_call(cli, &error);
    }
    signet_revocation_free(revocation);
    signet_client_free(client);
    return exit;
}

static enum cli_exit revoke_run(struct cli *cli, int argc, char **argv)
{
    struct signet_revoke_options options = SIGNET_REVOKE_OPTIONS_INIT;
    char *token = NULL;
    if (!revoke_read_options(cli, argc, argv, &options)) {
        return cli->exit;
    }
    if (options.token != NULL) {
        token = revoke_read_token(cli, options.token);
        if (token == NULL) {
            return cli->exit;
        }
        options.token = token;
    }
    enum cli_exit exit = revoke_call(cli, &options);
    free(token);
    return exit;
}

const struct cli_command cli_revoke = {
    .name = "revoke",
    .synopsis = "(--token TOKEN | --jti JTI | --subject SUBJECT | --kid KID | --all) "
                "[--keyset KEYSET] ...",
    .summary = "have tokens refused that were minted before now",
    .help =
        "Has tokens refused as REVOKED that were minted before now. When it is answered, that is\n"
        "written down, and every check that begins from then on refuses them. Takes a grant to\n"
        "revoke. Revoking twice is no error.\n"
        "\n"
        "  --token TOKEN      this token, which must have a \"jti\". TOKEN - reads it from standard\n"
        "                     input, where other users' process lists do not show it\n"
        "  --jti JTI          the token of the keyset's issuer with this \"jti\"\n"
        "  --subject SUBJECT  every token of the keyset's issuer with this \"sub\" that was issued\n"
        "                     until now\n"
        "  --kid KID          every token under the keyset's key with this kid, whenever it was\n"
        "                     issued, as of a foreign issuer whose key leaked. Not of a key that\n"
        "                     signs, or is to: 'signet key rotate KEYSET --now' first. One that begins\n"
        "                     with '--' is given as --kid=KID\n"
        "  --all              every token under the keyset's keys that was issued until now; asks\n"
        "                     nothing. The keys stay as they are\n"
        "  --keyset KEYSET    the keyset, or the name of a foreign issuer; required but with --token\n"
        "  --expires-at TIME  with --jti: the token's \"exp\", after which this may be forgotten:\n"
        "                     2027-01-31T12:00:00Z, seconds since 1970, or +10m (default: as late as\n"
        "                     a token of the keyset can expire)\n"
        "  --reason TEXT      why, for people; at most 255 bytes\n"
        "\n"
        "A token, a jti and a subject are those of every keyset with the issuer, and take the grant on\n"
        "each. A kid, and what is revoked of a foreign issuer, or of one with an imported key, is never\n"
        "forgotten, but where --expires-at or the token says otherwise.\n"
        "\n"
        "With --subject and --all, tokens of this very second are refused too, and what is minted\n"
        "after the answer is good: the daemon mints nothing for them until the second is over. The\n"
        "answer says from when on tokens are good.\n"
        "With --json: {\"kind\", \"issuer\", \"keyset\", \"name\", \"revoked_at\", \"until\", \"uid\",\n"
        "\"reason\"}; kind is \"token\", \"subject\", \"keyset\" or \"kid\". Times are seconds since 1970;\n"
        "until is null where it is never forgotten.\n",
    .run = revoke_run,
};

/* ---- revocations ---- */

static struct revoke_view revocations_view(const Signet__V1__Revocation *revocation)
{
    return (struct revoke_view){
        .kind = (signet_revoked_kind)revocation->kind,
        .issuer = revocation->issuer,
        .keyset = revocation->keyset,
        .name = revocation->name,
        .reason = revocation->reason,
        .revoked_at = revocation->revoked_at,
        .until = revocation->until,
        .uid = revocation->uid,
    };
}

/* Whether b stands behind a in the order of the contract. What is not in order could be listed for ever. */
static bool revocations_is_after(const Signet__V1__Revocation *a, const Signet__V1__Revocation *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind;
    }
    /* Of a kid the issuer is empty, of the others one of the two. */
    int order = strcmp(a->issuer, b->issuer);
    order = order != 0 ? order : strcmp(a->keyset, b->keyset);
    order = order != 0 ? order : strcmp(a->name, b->name);
    return order < 0;
}

/* What is wrong with a page, of which `after` is the last of the one before, or NULL. */
static const char *revocations_flaw(const Signet__V1__ListRevocationsResponse *page,
                                    const Signet__V1__Revocation *after)
{
    for (size_t i = 0; i < page->n_revocations; i++) {
        const Signet__V1__Revocation *revocation = page->revocations[i];
        if (revoke_kind_name((signet_revoked_kind)revocation->kind) == NULL ||
            revocation->revoked_at <= 0) {
            return "lists a revocation that lacks required parts";
        }
        if (after != NULL && !revocations_is_after(after, revocation)) {
            return "lists revocations out of their order";
        }
        after = revocation;
    }
    if (page->n_revocations > REVOKE_PAGE) {
        return "lists more revocations than were asked for";
    }
    return page->more && page->n_revocations == 0 ? "says that there are more, and lists none"
                                                  : NULL;
}

static void revocations_print_page(const Signet__V1__ListRevocationsResponse *page)
{
    static const char *const heading[] = {"KIND",       "NAME", "OF",    "REVOKED AT",
                                          "KEPT UNTIL", "UID",  "REASON"};
    struct cli_table *table = cli_table_new(sizeof(heading) / sizeof(heading[0]));
    cli_table_row(table, heading);
    for (size_t i = 0; i < page->n_revocations; i++) {
        const struct revoke_view view = revocations_view(page->revocations[i]);
        char at[CLI_TIME_CAP];
        char until[CLI_TIME_CAP];
        char uid[16];
        cli_key_time(view.revoked_at, at);
        cli_key_time(view.until, until);
        (void)snprintf(uid, sizeof(uid), "%" PRIu32, view.uid);
        const char *cells[] = {
            revoke_kind_name(view.kind),
            view.kind == SIGNET_REVOKED_KEYSET ? view.keyset : view.name,
            view.kind == SIGNET_REVOKED_KEYSET ? "-"
            : view.kind == SIGNET_REVOKED_KID  ? view.keyset
                                               : view.issuer,
            at,
            view.until == 0 ? "for ever" : until,
            uid,
            view.reason,
        };
        cli_table_row(table, cells);
    }
    cli_table_print(table, "", true);
    cli_table_free(table);
}

static void revocations_print(const struct cli *cli,
                              const Signet__V1__ListRevocationsResponse *page, bool is_first)
{
    if (cli->json) {
        for (size_t i = 0; i < page->n_revocations; i++) {
            const struct revoke_view view = revocations_view(page->revocations[i]);
            revoke_print_json(&view);
        }
    } else if (page->n_revocations > 0) {
        revocations_print_page(page);
    } else if (is_first) {
        (void)printf("Nothing is revoked.\n");
    }
}

/* The page after the last one of `before` (NULL: the first). NULL after a complaint. */
static Signet__V1__ListRevocationsResponse *
revocations_next(struct cli *cli, struct signet_client *client,
                 const Signet__V1__ListRevocationsResponse *before)
{
    Signet__V1__ListRevocationsRequest request = SIGNET__V1__LIST_REVOCATIONS_REQUEST__INIT;
    request.max = REVOKE_PAGE;
    request.after = before != NULL ? before->revocations[before->n_revocations - 1] : NULL;
    Signet__V1__ListRevocationsResponse *page =
        (Signet__V1__ListRevocationsResponse *)cli_admin_call(
            cli, client, SG_METHOD_LIST_REVOCATIONS, &request.base,
            &signet__v1__list_revocations_response__descriptor, 0);
    const char *flaw = page != NULL ? revocations_flaw(page, request.after) : NULL;
    if (flaw != NULL) {
        (void)cli_fail(cli, CLI_UNREACHABLE, "signetd's answer %s; is it signetd?", flaw);
        signet__v1__list_revocations_response__free_unpacked(page, NULL);
        page = NULL;
    }
    return page;
}

/* One page is held at a time, and is seen before the next one is asked for. */
static enum cli_exit revocations_list(struct cli *cli, struct signet_client *client)
{
    Signet__V1__ListRevocationsResponse *before = NULL;
    bool goes_on = true;
    while (goes_on) {
        Signet__V1__ListRevocationsResponse *page = revocations_next(cli, client, before);
        if (page != NULL) {
            revocations_print(cli, page, before == NULL);
        }
        /* That nobody reads any more is told at the end. */
        goes_on = page != NULL && page->more && fflush(stdout) == 0;
        signet__v1__list_revocations_response__free_unpacked(before, NULL);
        before = page;
    }
    enum cli_exit exit = before != NULL ? CLI_GOOD : cli->exit;
    signet__v1__list_revocations_response__free_unpacked(before, NULL);
    return exit;
}

static enum cli_exit revocations_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    struct signet_client *client = NULL;
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 0, 0, &arguments) || !cli_admin_connect(cli, &client)) {
        return cli->exit;
    }
    enum cli_exit exit = revocations_list(cli, client);
    signet_client_free(client);
    return exit;
}

const struct cli_command cli_revocations = {
    .name = "revocations",
    .synopsis = "",
    .summary = "what is revoked",
    .help =
        "Lists what is revoked and not forgotten yet, one a line: a token by its \"jti\", a subject, a\n"
        "keyset, or a kid; of which issuer it is (a token, a subject) or of which keyset (a kid); when\n"
        "it was revoked, which is also the second up to which tokens of a subject or keyset are refused;\n"
        "until when it is kept; the uid of who asked for it, and why. Times are in UTC. Of many, 500\n"
        "stand under one heading.\n"
        "Calls the operators' socket (see 'signet help key').\n"
        "With --json: one object each, on a line, as in 'signet revoke'.\n",
    .run = revocations_run,
};
