/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet reload`: has the daemon read its configuration again.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "client/cli/admin.h"
#include "client/cli/cli.h"
#include "client/cli/output.h"
#include "common/rpc.h"
#include "signet/v1/admin.pb-c.h"

static json_t *reload_texts(char *const *texts, size_t num)
{
    json_t *array = cli_must(json_array());
    for (size_t i = 0; i < num; i++) {
        (void)json_array_append_new(array, cli_must(json_string(texts[i])));
    }
    return array;
}

static enum cli_exit reload_done(const struct cli *cli, const Signet__V1__Reloaded *reloaded)
{
    if (cli->json) {
        cli_print_json(json_pack("{s:b, s:I, s:I, s:o}", "reloaded", true, "num_keysets",
                                 (json_int_t)reloaded->num_keysets, "num_issuers",
                                 (json_int_t)reloaded->num_issuers, "warnings",
                                 reload_texts(reloaded->warnings, reloaded->n_warnings)));
        return CLI_GOOD;
    }
    for (size_t i = 0; i < reloaded->n_warnings; i++) {
        cli_warn("%s", reloaded->warnings[i]);
    }
    (void)printf("The new configuration is in force: %" PRIu32 " keyset%s, %" PRIu32
                 " foreign issuer%s.\n",
                 reloaded->num_keysets, reloaded->num_keysets == 1 ? "" : "s",
                 reloaded->num_issuers, reloaded->num_issuers == 1 ? "" : "s");
    return CLI_GOOD;
}

static enum cli_exit reload_refused(struct cli *cli, const Signet__V1__NotReloaded *refused)
{
    if (cli->json) {
        cli_print_json(json_pack("{s:b, s:o}", "reloaded", false, "problems",
                                 reload_texts(refused->problems, refused->n_problems)));
        return CLI_FAILED;
    }
    for (size_t i = 0; i < refused->n_problems; i++) {
        (void)cli_fail(cli, CLI_FAILED, "%s", refused->problems[i]);
    }
    return cli_fail(cli, CLI_FAILED, "nothing was changed: the old configuration stays in force");
}

static enum cli_exit reload_tell(struct cli *cli, const Signet__V1__ReloadResponse *response)
{
    switch (response->outcome_case) {
    case SIGNET__V1__RELOAD_RESPONSE__OUTCOME_RELOADED:
        return reload_done(cli, response->reloaded);
    case SIGNET__V1__RELOAD_RESPONSE__OUTCOME_REFUSED:
        return reload_refused(cli, response->refused);
    case SIGNET__V1__RELOAD_RESPONSE__OUTCOME__NOT_SET:
    case _SIGNET__V1__RELOAD_RESPONSE__OUTCOME__CASE_IS_INT_SIZE:
        break;
    }
    return cli_fail(cli, CLI_UNREACHABLE,
                    "signetd's answer says neither yes nor no; is it signetd?");
}

static enum cli_exit reload_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    Signet__V1__ReloadRequest request = SIGNET__V1__RELOAD_REQUEST__INIT;
    Signet__V1__ReloadResponse *response = NULL;
    struct signet_client *client = NULL;
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 0, 0, &arguments) || !cli_admin_connect(cli, &client)) {
        return cli->exit;
    }
    if (cli_admin_is_there(cli, client)) {
        response = (Signet__V1__ReloadResponse *)cli_admin_call(
            cli, client, SG_METHOD_RELOAD, &request.base, &signet__v1__reload_response__descriptor,
            CLI_ADMIN_ALL_MS);
    }
    signet_client_free(client);
    if (response == NULL) {
        return cli->exit;
    }
    enum cli_exit exit = reload_tell(cli, response);
    signet__v1__reload_response__free_unpacked(response, NULL);
    return exit;
}

const struct cli_command cli_reload = {
    .name = "reload",
    .synopsis = "",
    .summary = "have the daemon read its configuration again",
    .help =
        "Has the daemon read its configuration again, as SIGHUP does. All of it takes effect, or nothing\n"
        "does: then every problem is named on a line, the old configuration stays in force, and the\n"
        "exit status is 4. No request fails meanwhile. Calls the operators' socket (see 'signet help\n"
        "key').\n"
        "With --json: {\"reloaded\": true, \"num_keysets\", \"num_issuers\", \"warnings\"}, or\n"
        "{\"reloaded\": false, \"problems\"}.\n",
    .run = reload_run,
};
