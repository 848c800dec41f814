/* SPDX-License-Identifier: Apache-2.0
 *
 * The claim rules of a grant. Each is judged by itself here, and beside the others where they cannot both be
 * meant; which of them make a grant useless is grant_text's to say.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "server/config_sections.h"

/* What the messages below say. */
#define CONFIG_MAX_CLAIM_LEN 255u
static_assert(SG_MAX_AUDIENCE_LEN == CONFIG_MAX_CLAIM_LEN &&
                  SG_MAX_SUBJECT_LEN == CONFIG_MAX_CLAIM_LEN,
              "one length in all messages");
#define CONFIG_MIN_PAYLOAD_LEN 2u /* {} */

/* ---- Single texts ---- */

static bool config_is_registered(const char *text)
{
    static const char *const names[] = {"iss", "sub", "aud", "exp", "nbf", "iat", "jti"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char *config_text_problem(const char *text)
{
    size_t len = strlen(text);
    return len < 1 || len > CONFIG_MAX_CLAIM_LEN || sg_config_has_controls(text)
               ? "is not good; expected 1 to 255 bytes without control characters"
               : NULL;
}

/* Of a name, or a glob for names. */
static const char *config_claims_problem(const char *text)
{
    if (config_is_registered(text)) {
        return "is a claim that has fields and rules of its own; expected none of iss, sub, aud, exp, "
               "nbf, iat and jti";
    }
    return config_text_problem(text);
}

static const char *config_claim_problem(const char *text)
{
    return strchr(text, '*') != NULL ? "is not the name of one claim; expected one without *"
                                     : config_claims_problem(text);
}

/* ${...} is one of these; any other '$' is itself. */
static const char *config_template_problem(const char *text)
{
    static const char *const names[] = {"${peer.user}", "${peer.uid}", "${peer.gid}",
                                        "${peer.unit}"};
    for (const char *at = strstr(text, "${"); at != NULL; at = strstr(at + 1, "${")) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            is_known = is_known || strncmp(at, names[i], strlen(names[i])) == 0;
        }
        if (!is_known) {
            return "has a ${...} that there is none of; expected ${peer.user}, ${peer.uid}, "
                   "${peer.gid} or ${peer.unit}";
        }
    }
    return config_text_problem(text);
}

/* ---- Forced claims ---- */

static bool config_list_has(char *const *list, size_t num, const char *text)
{
    for (size_t i = 0; i < num; i++) {
        if (strcmp(list[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* What the name of a forced claim is besides; NULL if nothing. */
static const char *config_forced_conflict(const struct sg_config_claim_rules *claims,
                                          const char *name)
{
    for (size_t i = 0; i < claims->num_forced; i++) {
        if (strcmp(claims->forced[i].name, name) == 0) {
            return "forced twice; expected one value";
        }
    }
    if (config_list_has(claims->allowed, claims->num_allowed, name)) {
        return "allowed too, and callers may not set what is forced; expected it in one of the two";
    }
    if (config_list_has(claims->required, claims->num_required, name)) {
        return "required too, and callers may not set what is forced; expected it in one of the two";
    }
    return NULL;
}

static bool config_forced_is_good(struct sg_config_check *check, const char *parent,
                                  const struct sg_config_text_forced *text,
                                  const struct sg_config_claim_rules *claims)
{
    struct sg_config_key name = {parent, "name"}, value = {parent, "value"};
    size_t num_faults = check->num_faults;
    const char *problem = text->name != NULL ? config_claim_problem(text->name) : NULL;
    const char *conflict =
        text->name != NULL && problem == NULL ? config_forced_conflict(claims, text->name) : NULL;
    if (text->name == NULL) {
        sg_config_complain(check, name, "is missing; expected the name of a claim");
    } else if (problem != NULL) {
        sg_config_complain(check, name, "\"%.64s\" %s", text->name, problem);
    } else if (conflict != NULL) {
        sg_config_complain(check, name, "\"%.64s\" is %s", text->name, conflict);
    }
    problem = text->value != NULL ? config_template_problem(text->value) : NULL;
    if (text->value == NULL) {
        sg_config_complain(check, value, "is missing; expected a text, such as \"${peer.user}\"");
    } else if (problem != NULL) {
        sg_config_complain(check, value, "\"%.64s\" %s", text->value, problem);
    }
    return check->num_faults == num_faults;
}

static void config_read_forced(struct sg_config_check *check, const char *parent,
                               const struct sg_config_text_claims *text,
                               struct sg_config_claim_rules *claims)
{
    if (text->forced_count == 0 ||
        !sg_config_list_is_short(check, (struct sg_config_key){parent, "forced"},
                                 text->forced_count)) {
        return;
    }
    claims->forced = calloc(text->forced_count, sizeof(*claims->forced));
    if (claims->forced == NULL) {
        sg_config_complain_at(check, 0, "no memory to read it");
        return;
    }
    for (unsigned i = 0; i < text->forced_count; i++) {
        char entry[96];
        (void)snprintf(entry, sizeof(entry), "%s.forced[%u]", parent, i);
        if (config_forced_is_good(check, entry, &text->forced[i], claims)) {
            struct sg_config_forced_claim *forced = &claims->forced[claims->num_forced];
            forced->name = sg_config_copy(check, text->forced[i].name);
            forced->value = sg_config_copy(check, text->forced[i].value);
            claims->num_forced += forced->name != NULL ? 1 : 0;
        }
    }
}

/* ---- All of them ---- */

static void config_read_lists(struct sg_config_check *check, const char *parent,
                              const struct sg_config_text_claims *text,
                              struct sg_config_claim_rules *claims)
{
    const struct {
        const char *name;
        struct sg_config_text_list list;
        const char *(*problem_of)(const char *text);
        char ***out;
        size_t *num;
    } lists[] = {
        {"allowed",
         {text->allowed, text->allowed_count},
         config_claims_problem,
         &claims->allowed,
         &claims->num_allowed},
        {"required",
         {text->required, text->required_count},
         config_claim_problem,
         &claims->required,
         &claims->num_required},
        {"denied",
         {text->denied, text->denied_count},
         config_claims_problem,
         &claims->denied,
         &claims->num_denied},
        {"audiences",
         {text->audiences, text->audiences_count},
         config_template_problem,
         &claims->audiences,
         &claims->num_audiences},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        sg_config_read_list(check, (struct sg_config_key){parent, lists[i].name}, lists[i].list,
                            lists[i].problem_of, lists[i].out, lists[i].num);
    }
}

/* An empty list of what is allowed is one that allows nothing; an empty one of audiences would be none, which
 * allows all. */
static void config_judge_empty_lists(struct sg_config_check *check, const char *parent,
                                     const struct sg_config_text_claims *text,
                                     struct sg_config_claim_rules *claims)
{
    claims->has_allowed = text->allowed_count > 0 ||
                          sg_config_is_given(check, (struct sg_config_key){parent, "allowed"});
    struct sg_config_key audiences = {parent, "audiences"};
    if (text->audiences_count == 0 && sg_config_is_given(check, audiences)) {
        sg_config_complain(check, audiences,
                           "is empty; expected at least one, or no audiences here for any");
    }
}

void sg_config_read_claims(struct sg_config_check *check, const char *parent,
                           const struct sg_config_text_claims *text,
                           struct sg_config_claim_rules *claims)
{
    config_read_lists(check, parent, text, claims);
    config_judge_empty_lists(check, parent, text, claims);
    config_read_forced(check, parent, text, claims);
    const char *problem = text->subject != NULL ? config_template_problem(text->subject) : NULL;
    if (problem != NULL) {
        sg_config_complain(check, (struct sg_config_key){parent, "subject"}, "\"%.64s\" %s",
                           text->subject, problem);
    } else {
        claims->subject = sg_config_copy(check, text->subject);
    }
    sg_config_read_duration(check, (struct sg_config_key){parent, "max_ttl"}, text->max_ttl, 1,
                            SG_CONFIG_MAX_TTL_S, &claims->max_ttl_s);
    sg_config_read_number(check, (struct sg_config_key){parent, "max_payload"}, text->max_payload,
                          CONFIG_MIN_PAYLOAD_LEN, SG_MAX_CLAIMS_JSON_LEN, &claims->max_payload_len);
    sg_config_read_flag(check, (struct sg_config_key){parent, "allow_sensitive"},
                        text->allow_sensitive, &claims->allow_sensitive);
}

void sg_config_free_claims(struct sg_config_claim_rules *claims)
{
    sg_config_free_list(claims->allowed, claims->num_allowed);
    sg_config_free_list(claims->required, claims->num_required);
    sg_config_free_list(claims->denied, claims->num_denied);
    sg_config_free_list(claims->audiences, claims->num_audiences);
    for (size_t i = 0; i < claims->num_forced; i++) {
        free(claims->forced[i].name);
        free(claims->forced[i].value);
    }
    free(claims->forced);
    free(claims->subject);
}
