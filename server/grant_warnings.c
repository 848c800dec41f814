/* SPDX-License-Identifier: Apache-2.0
 *
 * What in the grants is not likely to be meant. Says only what is sure from the configuration: nothing here is
 * looked up in a directory, and two grants are compared by what they ask for, not by who there is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/glob.h"
#include "server/grant_keysets.h"
#include "server/grant_text.h"
#include "server/right.h"
#include "server/text.h"

struct grant_warner {
    const struct sg_config *config;
    void (*line)(void *context, const char *text);
    void *context;
    struct sg_text text;
    size_t num_comparisons;
};

/* ---- Words ---- */

static void grant_add_place(struct sg_text *text, const struct sg_config_grant *grant)
{
    sg_text_add(text, "grant %s", grant->name);
    if (grant->line > 0) {
        sg_text_add(text, " (line %zu)", grant->line);
    }
}

/* The text of a warning begins, with the grant that it is about. */
static struct sg_text *grant_begin(struct grant_warner *warner, const struct sg_config_grant *grant)
{
    sg_text_clear(&warner->text);
    grant_add_place(&warner->text, grant);
    sg_text_add(&warner->text, ": ");
    return &warner->text;
}

static void grant_end(struct grant_warner *warner)
{
    warner->line(warner->context, sg_text_get(&warner->text));
}

/* ---- One by itself ---- */

static void grant_warn_anybody(struct grant_warner *warner, const struct sg_config_grant *grant)
{
    static const char *const dangers[SG_NUM_RIGHTS] = {
        "anybody may sign: every process that can open the socket gets tokens of it",
        NULL, /* a good token is no secret from who has it */
        "anybody may revoke: every process that can open the socket can end others' tokens",
        "anybody may administer: every process that can open admin.sock",
    };
    for (size_t i = 0; i < SG_NUM_RIGHTS; i++) {
        if (grant->who.is_anybody && (grant->may & 1u << i) != 0 && dangers[i] != NULL) {
            sg_text_add(grant_begin(warner, grant), "%s", dangers[i]);
            grant_end(warner);
        }
    }
}

static void grant_warn_keysets(struct grant_warner *warner, const struct sg_config_grant *grant)
{
    const struct sg_config *config = warner->config;
    for (size_t i = 0; i < grant->num_keysets; i++) {
        if (sg_grant_has_keyset(config, grant->keysets[i], &warner->num_comparisons)) {
            return;
        }
    }
    struct sg_text *text = grant_begin(warner, grant);
    sg_text_add(text, "can never match: it is for none of the keysets here");
    if (config->trust_dir[0] != '\0' && (grant->may & SG_RIGHT_VERIFY) != 0) {
        sg_text_add(text, ", unless %s has an issuer of such a name", config->trust_dir);
    }
    grant_end(warner);
}

static bool grant_any_matches(char *const *globs, size_t num, const char *name)
{
    for (size_t i = 0; i < num; i++) {
        if (sg_glob_match(globs[i], name)) {
            return true;
        }
    }
    return false;
}

/* What callers have to set and may not. What is required need not be among the allowed too. */
static void grant_warn_required(struct grant_warner *warner, const struct sg_config_grant *grant)
{
    const struct sg_config_claim_rules *claims = &grant->claims;
    for (size_t i = 0; i < claims->num_required && (grant->may & SG_RIGHT_SIGN) != 0; i++) {
        const char *name = claims->required[i];
        if (grant_any_matches(claims->denied, claims->num_denied, name)) {
            sg_text_add(grant_begin(warner, grant),
                        "can never sign: claim \"%s\" is required, and denied", name);
            grant_end(warner);
        }
    }
}

/* Processes are known by the path of the file itself, whatever links led to it. */
static void grant_warn_exe(struct grant_warner *warner, const struct sg_config_grant *grant)
{
    const char *exe = grant->who.exe;
    char *real = exe != NULL ? realpath(exe, NULL) : NULL;
    if (real != NULL && strcmp(real, exe) != 0) {
        sg_text_add(
            grant_begin(warner, grant),
            "can never match: %s leads to %s, which is how its processes are known; write that",
            exe, real);
        grant_end(warner);
    }
    free(real);
}

/* ---- One after another ---- */

/* Whether whoever is b is a too. Without asking who is in what group, and which user a unit runs as. */
static bool grant_who_covers(const struct sg_config_who *a, const struct sg_config_who *b)
{
    if (a->is_anybody || b->is_anybody) {
        return a->is_anybody;
    }
    bool user = a->user == NULL || (b->user != NULL && a->uid == b->uid);
    bool group = a->group == NULL || (b->group != NULL && a->gid == b->gid);
    bool exe = a->exe == NULL || (b->exe != NULL && strcmp(a->exe, b->exe) == 0);
    bool sha256 = !a->has_exe_sha256 || (b->has_exe_sha256 && memcmp(a->exe_sha256, b->exe_sha256,
                                                                     sizeof(a->exe_sha256)) == 0);
    bool unit = a->unit == NULL || (b->unit != NULL && sg_glob_covers(a->unit, b->unit));
    return user && group && exe && sha256 && unit;
}

/* For each right and each keyset (or glob) of a grant, the first of the grants before it that takes it; NULL:
 * none does. */
struct grant_shadow {
    const struct sg_config_grant *by[SG_NUM_RIGHTS][SG_CONFIG_MAX_LIST];
};

static bool grant_keysets_cover(struct grant_warner *warner, const struct sg_config_grant *grant,
                                const char *keyset)
{
    for (size_t i = 0; i < grant->num_keysets; i++) {
        warner->num_comparisons++;
        if (sg_glob_covers(grant->keysets[i], keyset)) {
            return true;
        }
    }
    return false;
}

static void grant_shadow_by(struct grant_warner *warner, const struct sg_config_grant *earlier,
                            const struct sg_config_grant *grant, struct grant_shadow *shadow)
{
    if ((earlier->may & grant->may) == 0 || !grant_who_covers(&earlier->who, &grant->who)) {
        return;
    }
    for (size_t i = 0; i < grant->num_keysets; i++) {
        if (!grant_keysets_cover(warner, earlier, grant->keysets[i])) {
            continue;
        }
        for (unsigned right = 0; right < SG_NUM_RIGHTS; right++) {
            bool takes = (earlier->may & grant->may & 1u << right) != 0;
            if (takes && shadow->by[right][i] == NULL) {
                shadow->by[right][i] = earlier;
            }
        }
    }
}

/* How many of a grant's keysets are taken from one of its rights, and the first grant that takes some. */
static size_t grant_count_taken(const struct grant_shadow *shadow,
                                const struct sg_config_grant *grant, unsigned right,
                                const struct sg_config_grant **by)
{
    size_t num = 0;
    for (size_t i = 0; i < grant->num_keysets; i++) {
        if (shadow->by[right][i] != NULL) {
            *by = num == 0 ? shadow->by[right][i] : *by;
            num++;
        }
    }
    return num;
}

static bool grant_is_all_taken(const struct grant_shadow *shadow,
                               const struct sg_config_grant *grant,
                               const struct sg_config_grant **by)
{
    for (unsigned right = 0; right < SG_NUM_RIGHTS; right++) {
        if ((grant->may & 1u << right) != 0 &&
            grant_count_taken(shadow, grant, right, by) < grant->num_keysets) {
            return false;
        }
    }
    return true;
}

static void grant_end_shadow(struct grant_warner *warner, const struct sg_config_grant *by)
{
    sg_text_add(&warner->text, ": ");
    grant_add_place(&warner->text, by);
    sg_text_add(&warner->text, " comes first");
    grant_end(warner);
}

static void grant_tell_right(struct grant_warner *warner, const struct sg_config_grant *grant,
                             const struct grant_shadow *shadow, unsigned right)
{
    const struct sg_config_grant *by = NULL;
    size_t num = grant_count_taken(shadow, grant, right, &by);
    if (num == 0) {
        return;
    }
    struct sg_text *text = grant_begin(warner, grant);
    sg_text_add(text, "its %s never decides", sg_right_name(sg_right_at(right)));
    for (size_t i = 0, told = 0; i < grant->num_keysets && num < grant->num_keysets; i++) {
        if (shadow->by[right][i] != NULL) {
            sg_text_add(text, "%s%s", told++ == 0 ? " for " : ", ", grant->keysets[i]);
        }
    }
    grant_end_shadow(warner, by);
}

static void grant_warn_shadow(struct grant_warner *warner, size_t index)
{
    const struct sg_config_grant *grants = warner->config->grants;
    const struct sg_config_grant *grant = &grants[index];
    struct grant_shadow shadow = {{{NULL}}};
    const struct sg_config_grant *by = NULL;
    for (size_t i = 0; i < index; i++) {
        grant_shadow_by(warner, &grants[i], grant, &shadow);
    }
    if (grant_is_all_taken(&shadow, grant, &by)) {
        sg_text_add(grant_begin(warner, grant), "never decides");
        grant_end_shadow(warner, by);
        return;
    }
    for (unsigned right = 0; right < SG_NUM_RIGHTS; right++) {
        grant_tell_right(warner, grant, &shadow, right);
    }
}

/* ---- All of them ---- */

static void grant_warn_shadows(struct grant_warner *warner)
{
    for (size_t i = 0; i < warner->config->num_grants; i++) {
        if (warner->num_comparisons > SG_GRANT_MAX_COMPARISONS) {
            sg_text_add(
                grant_begin(warner, &warner->config->grants[i]),
                "too many grants for too many keysets: this one and those after it were not "
                "compared with the ones before them");
            grant_end(warner);
            return;
        }
        grant_warn_shadow(warner, i);
    }
}

void sg_grants_warn(const struct sg_config *config, void (*line)(void *context, const char *text),
                    void *context)
{
    struct grant_warner warner = {.config = config, .line = line, .context = context};
    if (config->num_grants == 0) {
        line(context,
             "there are no grants: only root and the daemon's own user, on admin.sock, may do "
             "anything; see \"grants\" in signet.yaml(5)");
        return;
    }
    for (size_t i = 0; i < config->num_grants; i++) {
        const struct sg_config_grant *grant = &config->grants[i];
        grant_warn_anybody(&warner, grant);
        grant_warn_keysets(&warner, grant);
        grant_warn_required(&warner, grant);
        grant_warn_exe(&warner, grant);
    }
    warner.num_comparisons = 0;
    grant_warn_shadows(&warner);
    sg_text_fini(&warner.text);
}
