/* SPDX-License-Identifier: Apache-2.0
 *
 * The grants of the configuration, in the order of the file, which decides between them.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "server/config_sections.h"
#include "server/right.h"

#define CONFIG_MAX_GRANTS 1024u

/* ---- Rights and keysets ---- */

static void config_read_may(struct sg_config_check *check, const char *parent,
                            const struct sg_config_text_grant *text, unsigned *out)
{
    struct sg_config_key key = {parent, "may"};
    if (text->may_count == 0) {
        sg_config_complain(
            check, key, "is missing or empty; expected a list of sign, verify, revoke and admin");
        return;
    }
    if (!sg_config_list_is_short(check, key, text->may_count)) {
        return;
    }
    for (unsigned i = 0; i < text->may_count; i++) {
        unsigned right = sg_right_of(text->may[i]);
        if (right == 0) {
            char name[32];
            (void)snprintf(name, sizeof(name), "may[%u]", i);
            sg_config_complain(check, (struct sg_config_key){parent, name},
                               "\"%.32s\" is not a right; expected sign, verify, revoke or admin",
                               text->may[i]);
        }
        *out |= right;
    }
}

static const char *config_keysets_problem(const char *text)
{
    static_assert(SG_MAX_KEYSET_NAME_LEN == 64, "as the message says");
    return sg_config_is_word(text, SG_CONFIG_NAME "*", SG_MAX_KEYSET_NAME_LEN)
               ? NULL
               : "is neither a keyset's name nor a glob for some; expected 1 to 64 of a-z 0-9 . _ - "
                 "and *";
}

/* ---- Grants ---- */

static void config_read_grant_name(struct sg_config_check *check, const char *parent,
                                   const struct sg_config *config, const char *text, char **out)
{
    struct sg_config_key key = {parent, "name"};
    if (!sg_config_check_name(check, key, text)) {
        return;
    }
    for (size_t i = 0; i < config->num_grants; i++) {
        const char *other = config->grants[i].name;
        if (other != NULL && strcmp(other, text) == 0) {
            sg_config_complain(check, key,
                               "\"%s\" is the name of grants[%zu] too; expected another", text, i);
            return;
        }
    }
    *out = sg_config_copy(check, text);
}

static void config_read_grant(struct sg_config_check *check, const struct sg_config *config,
                              const struct sg_config_text_grant *text,
                              struct sg_config_grant *grant)
{
    char parent[32], who[40], claims[48];
    (void)snprintf(parent, sizeof(parent), "grants[%zu]", config->num_grants);
    (void)snprintf(who, sizeof(who), "%s.who", parent);
    (void)snprintf(claims, sizeof(claims), "%s.claims", parent);
    grant->line = check->lines != NULL ? sg_config_lines_find(check->lines, parent) : 0;
    config_read_grant_name(check, parent, config, text->name, &grant->name);
    sg_config_read_who(check, who, &text->who, &grant->who);
    config_read_may(check, parent, text, &grant->may);
    if (text->keysets_count == 0) {
        sg_config_complain(check, (struct sg_config_key){parent, "keysets"},
                           "is missing or empty; expected a list of keysets, or [\"*\"] for all");
    }
    sg_config_read_list(check, (struct sg_config_key){parent, "keysets"},
                        (struct sg_config_text_list){text->keysets, text->keysets_count},
                        config_keysets_problem, &grant->keysets, &grant->num_keysets);
    sg_config_read_claims(check, claims, &text->claims, &grant->claims);
    sg_config_read_number(check, (struct sg_config_key){parent, "max_live_tokens"},
                          text->max_live_tokens, 1, UINT32_MAX, &grant->max_live_tokens);
}

void sg_config_read_grants(struct sg_config_check *check, const struct sg_config_text *text,
                           struct sg_config *config)
{
    if (text->grants_count == 0) {
        return;
    }
    if (text->grants_count > CONFIG_MAX_GRANTS) {
        sg_config_complain(check, (struct sg_config_key){"", "grants"},
                           "%u grants; expected at most %u", text->grants_count, CONFIG_MAX_GRANTS);
        return;
    }
    config->grants = calloc(text->grants_count, sizeof(*config->grants));
    if (config->grants == NULL) {
        sg_config_complain_at(check, 0, "no memory to read it");
        return;
    }
    for (unsigned i = 0; i < text->grants_count; i++) {
        config_read_grant(check, config, &text->grants[i], &config->grants[i]);
        config->num_grants++;
    }
}

void sg_config_free_grants(struct sg_config *config)
{
    for (size_t i = 0; i < config->num_grants; i++) {
        struct sg_config_grant *grant = &config->grants[i];
        free(grant->name);
        free(grant->who.user);
        free(grant->who.group);
        free(grant->who.exe);
        free(grant->who.unit);
        sg_config_free_list(grant->keysets, grant->num_keysets);
        sg_config_free_claims(&grant->claims);
    }
    free(config->grants);
}
