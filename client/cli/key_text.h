/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys in words and in JSON. Times that are 0 on the wire, "none" or "not known", are "-" and null.
 */
#ifndef SG_CLI_KEY_TEXT_H
#define SG_CLI_KEY_TEXT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "signet/v1/key.pb-c.h"

#define CLI_TIME_CAP 40u

/* cli_key_state names a state, such as "verify-only"; "?" for a number that is none. Static. */
const char *cli_key_state(Signet__V1__KeyState state);

/* "2026-11-24T12:00:00Z", as options take it; "-" for 0. */
void cli_key_time(int64_t when, char out[CLI_TIME_CAP]);

/* cli_key_signs says in words when the key signs: "signs now", "signs from ...", "never signs". */
void cli_key_signs(const Signet__V1__Key *key, int64_t now, char *out, size_t cap);

/* What `--json` prints of a key, of a keyset with its keys, and of all. To be released. */
json_t *cli_key_json(const Signet__V1__Key *key);
json_t *cli_listed_keyset_json(const Signet__V1__ListedKeyset *keyset);
json_t *cli_key_list_json(const Signet__V1__ListKeysResponse *list);

#endif
