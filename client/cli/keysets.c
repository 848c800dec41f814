/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet keysets`: the keysets and their keys.
 */
#include "client/cli/keysets.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "client/call.h"
#include "client/cli/key_text.h"
#include "client/cli/output.h"
#include "common/rpc.h"

Signet__V1__ListKeysetsResponse *cli_keysets_list(struct cli *cli, struct signet_client *client)
{
    Signet__V1__ListKeysetsRequest request = SIGNET__V1__LIST_KEYSETS_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    struct signet_error error;
    if (sg_client_call(client, SG_METHOD_LIST_KEYSETS, &request.base,
                       &signet__v1__list_keysets_response__descriptor, 0, &response,
                       &error) != SIGNET_OK) {
        (void)cli_fail_call(cli, &error);
        return NULL;
    }
    return (Signet__V1__ListKeysetsResponse *)response;
}

/* A keyset whose algorithm was changed has keys of both. */
static bool keysets_has_other_alg(const Signet__V1__Keyset *keyset, const Signet__V1__Key *key)
{
    return key->alg[0] != '\0' && strcmp(key->alg, keyset->alg) != 0;
}

static void keysets_describe(const Signet__V1__Keyset *keyset, const Signet__V1__Key *key,
                             char *out, size_t cap)
{
    bool other = keysets_has_other_alg(keyset, key);
    (void)snprintf(out, cap, "%s%s%s", cli_key_state(key->state), other ? ", of " : "",
                   other ? key->alg : "");
}

/* One row for each key; what belongs to the keyset stands in its first only. */
static void keysets_add_rows(struct cli_table *table, const Signet__V1__Keyset *keyset)
{
    char ttl[32];
    char max_ttl[32];
    cli_format_duration(keyset->default_ttl_s, ttl, sizeof(ttl));
    cli_format_duration(keyset->max_ttl_s, max_ttl, sizeof(max_ttl));
    size_t num_rows = keyset->n_keys == 0 ? 1 : keyset->n_keys;
    for (size_t i = 0; i < num_rows; i++) {
        bool first = i == 0;
        const Signet__V1__Key *key = i < keyset->n_keys ? keyset->keys[i] : NULL;
        char state[64] = "";
        if (key != NULL) {
            keysets_describe(keyset, key, state, sizeof(state));
        }
        const char *cells[] = {
            first ? keyset->name : "",
            first ? keyset->alg : "",
            first ? keyset->issuer : "",
            first ? ttl : "",
            first ? max_ttl : "",
            first ? keyset->typ : "",
            key != NULL ? key->kid : "(no key)",
            state,
        };
        cli_table_row(table, cells);
    }
}

static void keysets_print(const Signet__V1__ListKeysetsResponse *list)
{
    static const char *const heading[] = {"KEYSET", "ALG", "ISSUER", "TTL",
                                          "MAX",    "TYP", "KEY",    "STATE"};
    struct cli_table *table = cli_table_new(sizeof(heading) / sizeof(heading[0]));
    cli_table_row(table, heading);
    for (size_t i = 0; i < list->n_keysets; i++) {
        keysets_add_rows(table, list->keysets[i]);
    }
    cli_table_print(table, "", true);
    cli_table_free(table);
}

static json_t *keysets_to_json(const Signet__V1__Keyset *keyset)
{
    json_t *keys = cli_must(json_array());
    for (size_t i = 0; i < keyset->n_keys; i++) {
        const Signet__V1__Key *key = keyset->keys[i];
        json_t *object =
            json_pack("{s:s, s:s, s:s, s:I}", "kid", key->kid, "alg",
                      keysets_has_other_alg(keyset, key) ? key->alg : keyset->alg, "state",
                      cli_key_state(key->state), "created_at", (json_int_t)key->created_at);
        (void)json_array_append_new(keys, cli_must(object));
    }
    return cli_must(json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:o}", "name", keyset->name, "alg",
                              keyset->alg, "issuer", keyset->issuer, "default_ttl_s",
                              (json_int_t)keyset->default_ttl_s, "max_ttl_s",
                              (json_int_t)keyset->max_ttl_s, "typ", keyset->typ, "keys", keys));
}

static void keysets_print_json(const Signet__V1__ListKeysetsResponse *list)
{
    json_t *keysets = cli_must(json_array());
    for (size_t i = 0; i < list->n_keysets; i++) {
        (void)json_array_append_new(keysets, keysets_to_json(list->keysets[i]));
    }
    cli_print_json(json_pack("{s:o}", "keysets", keysets));
}

static enum cli_exit keysets_run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {CLI_COMMON_OPTIONS};
    struct signet_client *client = NULL;
    char **arguments = NULL;
    if (cli_next_option(cli, argc, argv, "", options) != CLI_OPTIONS_DONE ||
        !cli_arguments(cli, argc, argv, 0, 0, &arguments) || !cli_connect(cli, &client)) {
        return cli->exit;
    }
    Signet__V1__ListKeysetsResponse *list = cli_keysets_list(cli, client);
    signet_client_free(client);
    if (list == NULL) {
        return cli->exit;
    }
    if (cli->json) {
        keysets_print_json(list);
    } else {
        keysets_print(list);
    }
    signet__v1__list_keysets_response__free_unpacked(list, NULL);
    return CLI_GOOD;
}

const struct cli_command cli_keysets = {
    .name = "keysets",
    .synopsis = "",
    .summary = "list the keysets and their keys",
    .help =
        "Lists the keysets: algorithm, issuer, default and longest life of a token, header \"typ\",\n"
        "and the keys with their state. A key that is next does not sign yet; verify-only no\n"
        "longer signs; retired and revoked ones are of no use any more. A key whose algorithm is not\n"
        "the keyset's says so. 'signet key list' tells operators more.\n",
    .run = keysets_run,
};
