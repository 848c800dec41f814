/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys in words and in JSON.
 */
#include "client/cli/key_text.h"

#include <stdio.h>
#include <time.h>

#include "client/cli/output.h"

const char *cli_key_state(Signet__V1__KeyState state)
{
    static const char *const names[] = {"?", "next", "active", "verify-only", "retired", "revoked"};
    size_t index = (size_t)state;
    return index < sizeof(names) / sizeof(names[0]) ? names[index] : "?";
}

void cli_key_time(int64_t when, char out[CLI_TIME_CAP])
{
    struct tm parts;
    time_t seconds = (time_t)when;
    if (when == 0) {
        (void)snprintf(out, CLI_TIME_CAP, "-");
    } else if (when < 0 || gmtime_r(&seconds, &parts) == NULL ||
               strftime(out, CLI_TIME_CAP, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        (void)snprintf(out, CLI_TIME_CAP, "%lld", (long long)when);
    }
}

void cli_key_signs(const Signet__V1__Key *key, int64_t now, char *out, size_t cap)
{
    char time[96];
    if (key->verify_only || key->sign_from == 0) {
        (void)snprintf(out, cap, "never signs");
    } else if (key->sign_from <= now) {
        (void)snprintf(out, cap, "signs now");
    } else {
        cli_format_time(key->sign_from, now, time, sizeof(time));
        (void)snprintf(out, cap, "signs from %s", time);
    }
}

static json_t *key_time_json(int64_t when)
{
    return when == 0 ? json_null() : cli_must(json_integer((json_int_t)when));
}

json_t *cli_key_json(const Signet__V1__Key *key)
{
    return cli_must(json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:b, s:b, s:s}", "kid", key->kid, "alg",
        key->alg, "state", cli_key_state(key->state), "created_at", key_time_json(key->created_at),
        "sign_from", key_time_json(key->sign_from), "sign_until", key_time_json(key->sign_until),
        "verify_until", key_time_json(key->verify_until), "last_expiry",
        key_time_json(key->last_expiry), "last_expiry_is_exact", key->last_expiry_is_exact,
        "revoked_at", key_time_json(key->revoked_at), "imported", key->imported, "verify_only",
        key->verify_only, "why", key->why));
}

json_t *cli_listed_keyset_json(const Signet__V1__ListedKeyset *keyset)
{
    json_t *keys = cli_must(json_array());
    for (size_t i = 0; i < keyset->n_keys; i++) {
        (void)json_array_append_new(keys, cli_key_json(keyset->keys[i]));
    }
    return cli_must(json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:o, s:o}", "name", keyset->name, "configured",
        keyset->configured, "rotate_every_s", (json_int_t)keyset->rotate_every_s, "publish_lead_s",
        (json_int_t)keyset->publish_lead_s, "overlap_s", (json_int_t)keyset->overlap_s,
        "next_key_at", key_time_json(keyset->next_key_at), "keys", keys));
}

json_t *cli_key_list_json(const Signet__V1__ListKeysResponse *list)
{
    json_t *keysets = cli_must(json_array());
    json_t *damaged = cli_must(json_array());
    for (size_t i = 0; i < list->n_keysets; i++) {
        (void)json_array_append_new(keysets, cli_listed_keyset_json(list->keysets[i]));
    }
    for (size_t i = 0; i < list->n_damaged; i++) {
        json_t *file = json_pack("{s:s, s:s}", "file", list->damaged[i]->file, "problem",
                                 list->damaged[i]->problem);
        (void)json_array_append_new(damaged, cli_must(file));
    }
    return cli_must(json_pack("{s:o, s:o}", "keysets", keysets, "damaged", damaged));
}
