/* SPDX-License-Identifier: Apache-2.0
 *
 * Grants in words.
 */
#include "server/grant_text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/glob.h"
#include "server/grant_keysets.h"
#include "server/text.h"

/* ---- Names ---- */

/* As it is where nobody can read it as two, otherwise in quotes. */
static void grant_add_name(struct sg_text *text, const char *name)
{
    const char *quote = name[strcspn(name, " ,;\"")] != '\0' ? "\"" : "";
    sg_text_add(text, "%s%s%s", quote, name, quote);
}

/* What stands before the i-th of num things. */
static const char *grant_separator(size_t i, size_t num)
{
    if (i == 0) {
        return "";
    }
    return i + 1 == num ? " and " : ", ";
}

static void grant_add_list(struct sg_text *text, char *const *list, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        sg_text_add(text, "%s", grant_separator(i, num));
        grant_add_name(text, list[i]);
    }
}

static void grant_add_duration(struct sg_text *text, uint32_t seconds)
{
    static const struct {
        uint32_t seconds;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;
    while (seconds % units[i].seconds != 0) {
        i++;
    }
    sg_text_add(text, "%u %s", seconds / units[i].seconds, units[i].unit);
}

/* ---- Who may do what with what ---- */

static void grant_add_sha256(struct sg_text *text, const struct sg_config_who *who)
{
    sg_text_add(text, who->exe != NULL ? " with SHA-256 " : " that run a file with SHA-256 ");
    for (size_t i = 0; i < sizeof(who->exe_sha256); i++) {
        sg_text_add(text, "%02x", who->exe_sha256[i]);
    }
}

/* What is given by number only has no name to say. */
static void grant_add_account(struct sg_text *text, const char *words, const char *name,
                              const char *id_word, unsigned id)
{
    if (name[strspn(name, "0123456789")] == '\0') {
        sg_text_add(text, " %s %u", words, id);
    } else {
        sg_text_add(text, " %s %s (%s %u)", words, name, id_word, id);
    }
}

static void grant_add_who(struct sg_text *text, const struct sg_config_who *who)
{
    if (who->is_anybody) {
        sg_text_add(text, "all processes");
        return;
    }
    sg_text_add(text, "processes");
    if (who->user != NULL) {
        grant_add_account(text, "of user", who->user, "uid", who->uid);
    }
    if (who->group != NULL) {
        grant_add_account(text, "in group", who->group, "gid", who->gid);
    }
    if (who->unit != NULL) {
        sg_text_add(text, " of unit %s", who->unit);
    }
    if (who->exe != NULL) {
        sg_text_add(text, " that run ");
        grant_add_name(text, who->exe);
    }
    if (who->has_exe_sha256) {
        grant_add_sha256(text, who);
    }
}

static void grant_add_rights(struct sg_text *text, unsigned may)
{
    static const char *const verbs[] = {"sign", "verify", "revoke", "administer"};
    const char *given[sizeof(verbs) / sizeof(verbs[0])];
    size_t num = 0;
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if ((may & 1u << i) != 0) {
            given[num++] = verbs[i];
        }
    }
    for (size_t i = 0; i < num; i++) {
        sg_text_add(text, "%s%s", grant_separator(i, num), given[i]);
    }
}

static void grant_add_keysets(struct sg_text *text, const struct sg_config_grant *grant)
{
    for (size_t i = 0; i < grant->num_keysets; i++) {
        if (sg_glob_covers(grant->keysets[i], "*")) {
            sg_text_add(text, "any keyset");
            return;
        }
    }
    bool is_one = grant->num_keysets == 1 && strchr(grant->keysets[0], '*') == NULL;
    sg_text_add(text, is_one ? "keyset " : "keysets ");
    grant_add_list(text, grant->keysets, grant->num_keysets);
}

/* ---- Tokens ---- */

static void grant_add_purpose(struct sg_text *text, const struct sg_config_claim_rules *claims)
{
    sg_text_add(text, "; tokens are for ");
    if (claims->num_audiences > 0) {
        sg_text_add(text, claims->num_audiences == 1 ? "audience " : "audiences ");
        grant_add_list(text, claims->audiences, claims->num_audiences);
    } else {
        sg_text_add(text, "any audience");
    }
    if (claims->subject != NULL) {
        sg_text_add(text, " and subject ");
        grant_add_name(text, claims->subject);
    } else {
        sg_text_add(text, " and any subject");
    }
    if (claims->max_ttl_s > 0) {
        sg_text_add(text, ", for at most ");
        grant_add_duration(text, claims->max_ttl_s);
    }
}

static void grant_add_claims(struct sg_text *text, const struct sg_config_claim_rules *claims)
{
    sg_text_add(text, "; callers may set ");
    if (!claims->has_allowed) {
        sg_text_add(text, "any claim");
    } else if (claims->num_allowed == 0) {
        sg_text_add(text, "no claim");
    } else {
        sg_text_add(text, "claims ");
        grant_add_list(text, claims->allowed, claims->num_allowed);
        sg_text_add(text, " only");
    }
    if (claims->num_denied > 0) {
        sg_text_add(text, ", not ");
        grant_add_list(text, claims->denied, claims->num_denied);
    }
    if (claims->num_required > 0) {
        sg_text_add(text, ", and have to set ");
        grant_add_list(text, claims->required, claims->num_required);
    }
    for (size_t i = 0; i < claims->num_forced; i++) {
        sg_text_add(text, "%s", i == 0 ? "; " : grant_separator(i, claims->num_forced));
        grant_add_name(text, claims->forced[i].name);
        sg_text_add(text, " is set to \"%s\"", claims->forced[i].value);
    }
    if (claims->max_payload_len > 0) {
        sg_text_add(text, "; claims take at most %u bytes", claims->max_payload_len);
    }
    if (claims->allow_sensitive) {
        sg_text_add(text, "; claims that look like secrets are let through");
    }
}

static void grant_add_tokens(struct sg_text *text, const struct sg_config_grant *grant)
{
    if ((grant->may & SG_RIGHT_SIGN) == 0) {
        return;
    }
    grant_add_purpose(text, &grant->claims);
    grant_add_claims(text, &grant->claims);
    if (grant->max_live_tokens > 0) {
        sg_text_add(text, "; it is frozen at more than %u live tokens", grant->max_live_tokens);
    }
}

/* ---- Notes ---- */

#define GRANT_NOTE "  note: "

struct grant_notes {
    const struct sg_config *config;
    void (*line)(void *context, const char *text);
    void *context;
    struct sg_text text;
    size_t num_comparisons;
};

/* What has no keyset may have an issuer elsewhere, whose tokens can be verified. */
static void grant_note_keysets(struct grant_notes *notes, const struct sg_config_grant *grant)
{
    for (size_t i = 0; i < grant->num_keysets; i++) {
        if (sg_grant_has_keyset(notes->config, grant->keysets[i], &notes->num_comparisons)) {
            continue;
        }
        sg_text_clear(&notes->text);
        sg_text_add(&notes->text, GRANT_NOTE "%s matches no keyset here", grant->keysets[i]);
        if (notes->config->trust_dir[0] != '\0' && (grant->may & SG_RIGHT_VERIFY) != 0) {
            sg_text_add(&notes->text, "; right if %s has an issuer of that name",
                        notes->config->trust_dir);
        }
        notes->line(notes->context, sg_text_get(&notes->text));
    }
}

/* The smaller of the two is what counts; that of one keyset stands for all of them. */
static void grant_note_ttl(struct grant_notes *notes, const struct sg_config_grant *grant)
{
    const struct sg_config *config = notes->config;
    for (size_t i = 0; i < config->num_keysets && (grant->may & SG_RIGHT_SIGN) != 0; i++) {
        const struct sg_config_keyset *keyset = &config->keysets[i];
        if (grant->claims.max_ttl_s > keyset->max_ttl_s &&
            sg_grant_is_for(grant, keyset->name, &notes->num_comparisons)) {
            sg_text_clear(&notes->text);
            sg_text_add(&notes->text, GRANT_NOTE "keyset %s has a max_ttl of ", keyset->name);
            grant_add_duration(&notes->text, keyset->max_ttl_s);
            sg_text_add(&notes->text, ", which is less and counts");
            notes->line(notes->context, sg_text_get(&notes->text));
            return;
        }
    }
}

static bool grant_has_token_rules(const struct sg_config_grant *grant)
{
    const struct sg_config_claim_rules *claims = &grant->claims;
    return claims->has_allowed || claims->num_required > 0 || claims->num_denied > 0 ||
           claims->num_forced > 0 || claims->num_audiences > 0 || claims->subject != NULL ||
           claims->max_ttl_s > 0 || claims->max_payload_len > 0 || claims->allow_sensitive ||
           grant->max_live_tokens > 0;
}

static void grant_note(struct grant_notes *notes, const struct sg_config_grant *grant)
{
    grant_note_keysets(notes, grant);
    grant_note_ttl(notes, grant);
    if ((grant->may & SG_RIGHT_SIGN) == 0 && grant_has_token_rules(grant)) {
        notes->line(notes->context, GRANT_NOTE
                    "claims and max_live_tokens are for signing, which it does not allow");
    }
    if (grant->who.exe != NULL && access(grant->who.exe, F_OK) != 0) {
        sg_text_clear(&notes->text);
        sg_text_add(&notes->text, GRANT_NOTE "%s is not there now", grant->who.exe);
        notes->line(notes->context, sg_text_get(&notes->text));
    }
}

/* ---- All of them ---- */

void sg_grants_describe(const struct sg_config *config,
                        void (*line)(void *context, const char *text), void *context)
{
    struct grant_notes notes = {.config = config, .line = line, .context = context};
    for (size_t i = 0; i < config->num_grants; i++) {
        const struct sg_config_grant *grant = &config->grants[i];
        sg_text_clear(&notes.text);
        sg_text_add(&notes.text, "grant %s: ", grant->name);
        grant_add_who(&notes.text, &grant->who);
        sg_text_add(&notes.text, " may ");
        grant_add_rights(&notes.text, grant->may);
        sg_text_add(&notes.text, " with ");
        grant_add_keysets(&notes.text, grant);
        grant_add_tokens(&notes.text, grant);
        line(context, sg_text_get(&notes.text));
        grant_note(&notes, grant);
    }
    sg_text_fini(&notes.text);
}
