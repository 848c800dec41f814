/* SPDX-License-Identifier: Apache-2.0
 *
 * Claim rules on requests.
 */
#include "server/claim_rules.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/sensitive_claims.h"
#include "server/config.h"
#include "server/glob.h"
#include "server/template.h"

/* Names or globs. */
struct rules_names {
    char **names; /* owned, and each */
    size_t num;
};

struct rules_templates {
    struct sg_template **templates; /* owned, and each */
    size_t num;
};

struct sg_claim_rules {
    bool has_allowed;
    struct rules_names allowed, required, denied;
    struct rules_names forced; /* in step with forced_values */
    struct rules_templates forced_values;
    struct rules_templates audiences; /* none: any audience */
    struct sg_template *subject;      /* owned; NULL: any subject */
    uint32_t max_ttl_s;               /* 0: the keyset's */
    uint32_t max_payload_len;         /* 0: SG_MAX_CLAIMS_JSON_LEN */
    bool allow_sensitive;
    unsigned facts;
};

/* ---- Compiling ---- */

static bool rules_add_name(struct rules_names *list, const char *name)
{
    list->names[list->num] = strdup(name);
    return list->names[list->num++] != NULL;
}

static bool rules_copy_names(struct rules_names *list, char *const *names, size_t num)
{
    list->names = num != 0 ? calloc(num, sizeof(*list->names)) : NULL;
    bool done = num == 0 || list->names != NULL;
    for (size_t i = 0; done && i < num; i++) {
        done = rules_add_name(list, names[i]);
    }
    return done;
}

static bool rules_add_template(struct sg_claim_rules *rules, struct rules_templates *list,
                               const char *text, bool is_glob)
{
    struct sg_template *template = sg_template_new(text, is_glob);
    if (template == NULL) {
        return false;
    }
    rules->facts |= sg_template_facts(template);
    list->templates[list->num++] = template;
    return true;
}

static bool rules_copy_forced(struct sg_claim_rules *rules,
                              const struct sg_config_claim_rules *from)
{
    if (from->num_forced == 0) {
        return true;
    }
    rules->forced.names = calloc(from->num_forced, sizeof(*rules->forced.names));
    rules->forced_values.templates = calloc(from->num_forced, sizeof(struct sg_template *));
    bool done = rules->forced.names != NULL && rules->forced_values.templates != NULL;
    for (size_t i = 0; done && i < from->num_forced; i++) {
        done = rules_add_name(&rules->forced, from->forced[i].name) &&
               rules_add_template(rules, &rules->forced_values, from->forced[i].value, false);
    }
    return done;
}

static bool rules_copy_audiences(struct sg_claim_rules *rules,
                                 const struct sg_config_claim_rules *from)
{
    if (from->num_audiences == 0) {
        return true;
    }
    rules->audiences.templates = calloc(from->num_audiences, sizeof(struct sg_template *));
    bool done = rules->audiences.templates != NULL;
    for (size_t i = 0; done && i < from->num_audiences; i++) {
        done = rules_add_template(rules, &rules->audiences, from->audiences[i], true);
    }
    return done;
}

static bool rules_copy_subject(struct sg_claim_rules *rules,
                               const struct sg_config_claim_rules *from)
{
    if (from->subject == NULL) {
        return true;
    }
    rules->subject = sg_template_new(from->subject, true);
    if (rules->subject == NULL) {
        return false;
    }
    rules->facts |= sg_template_facts(rules->subject);
    return true;
}

struct sg_claim_rules *sg_claim_rules_new(const struct sg_config_claim_rules *from)
{
    struct sg_claim_rules *rules = calloc(1, sizeof(*rules));
    if (rules == NULL) {
        return NULL;
    }
    rules->has_allowed = from->has_allowed;
    rules->max_ttl_s = from->max_ttl_s;
    rules->max_payload_len = from->max_payload_len;
    rules->allow_sensitive = from->allow_sensitive;
    if (!rules_copy_names(&rules->allowed, from->allowed, from->num_allowed) ||
        !rules_copy_names(&rules->required, from->required, from->num_required) ||
        !rules_copy_names(&rules->denied, from->denied, from->num_denied) ||
        !rules_copy_forced(rules, from) || !rules_copy_audiences(rules, from) ||
        !rules_copy_subject(rules, from)) {
        sg_claim_rules_free(rules);
        return NULL;
    }
    return rules;
}

static void rules_free_names(struct rules_names *list)
{
    for (size_t i = 0; i < list->num; i++) {
        free(list->names[i]);
    }
    free(list->names);
}

static void rules_free_templates(struct rules_templates *list)
{
    for (size_t i = 0; i < list->num; i++) {
        sg_template_free(list->templates[i]);
    }
    free(list->templates);
}

void sg_claim_rules_free(struct sg_claim_rules *rules)
{
    if (rules == NULL) {
        return;
    }
    rules_free_names(&rules->allowed);
    rules_free_names(&rules->required);
    rules_free_names(&rules->denied);
    rules_free_names(&rules->forced);
    rules_free_templates(&rules->forced_values);
    rules_free_templates(&rules->audiences);
    sg_template_free(rules->subject);
    free(rules);
}

unsigned sg_claim_rules_facts(const struct sg_claim_rules *rules)
{
    return rules->facts;
}

uint32_t sg_claim_rules_max_ttl_s(const struct sg_claim_rules *rules, uint32_t max_ttl_s)
{
    bool is_lower = rules != NULL && rules->max_ttl_s != 0 && rules->max_ttl_s < max_ttl_s;
    return is_lower ? rules->max_ttl_s : max_ttl_s;
}

/* ---- Refusing ---- */

#define RULES_NAME_LEN 64u /* of a claim's name, in a message */

/* A claim's name as it can be shown: without control characters, and cut, if need be, between two characters
 * of UTF-8, which it is. */
struct rules_shown {
    char text[RULES_NAME_LEN + sizeof("...")];
};

static struct rules_shown rules_show(const char *name)
{
    struct rules_shown shown;
    size_t len = strnlen(name, RULES_NAME_LEN + 1);
    bool is_cut = len > RULES_NAME_LEN;
    if (is_cut) {
        len = RULES_NAME_LEN;
        while (len > 0 && (name[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    memcpy(shown.text, name, len);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        bool is_c1 = c == 0xc2 && (unsigned char)name[i + 1] < 0xa0; /* U+0080 to U+009F */
        if (c < ' ' || c == '"' || c == 0x7f || is_c1) {
            shown.text[i] = '?';
        }
        if (is_c1) {
            shown.text[++i] = '?';
        }
    }
    (void)snprintf(shown.text + len, sizeof(shown.text) - len, "%s", is_cut ? "..." : "");
    return shown;
}

static signet_status rules_refuse_claim(struct sg_rpc_status *error, const char *reason,
                                        const char *name, const char *why)
{
    return sg_rpc_fail(error, SIGNET_PERMISSION_DENIED, reason, "claim \"%s\": %s",
                       rules_show(name).text, why);
}

static signet_status rules_no_memory(struct sg_rpc_status *error)
{
    return sg_rpc_fail(error, SIGNET_RESOURCE_EXHAUSTED, "NO_MEMORY",
                       "the daemon is out of memory");
}

/* ---- The claims that the caller adds ---- */

static bool rules_names_has(const struct rules_names *list, const char *name)
{
    for (size_t i = 0; i < list->num; i++) {
        if (strcmp(list->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool rules_globs_match(const struct rules_names *list, const char *name)
{
    for (size_t i = 0; i < list->num; i++) {
        if (sg_glob_match(list->names[i], name)) {
            return true;
        }
    }
    return false;
}

static signet_status rules_check_name(const struct sg_claim_rules *rules, const char *name,
                                      struct sg_rpc_status *error)
{
    if (rules_names_has(&rules->forced, name)) {
        return rules_refuse_claim(error, "CLAIM_FORCED", name, "the daemon sets it itself");
    }
    if (rules_globs_match(&rules->denied, name)) {
        return rules_refuse_claim(error, "CLAIM_DENIED", name,
                                  "the caller's grant forbids it to be set");
    }
    if (rules->has_allowed && !rules_globs_match(&rules->allowed, name) &&
        !rules_names_has(&rules->required, name)) {
        return rules_refuse_claim(error, "CLAIM_NOT_ALLOWED", name,
                                  "it is not among those that the caller's grant allows");
    }
    return SIGNET_OK;
}

static signet_status rules_check_required(const struct sg_claim_rules *rules, const json_t *extra,
                                          struct sg_rpc_status *error)
{
    for (size_t i = 0; i < rules->required.num; i++) {
        const json_t *value = json_object_get(extra, rules->required.names[i]);
        if (value == NULL || json_is_null(value)) {
            return rules_refuse_claim(error, "CLAIM_REQUIRED", rules->required.names[i],
                                      "the caller's grant requires it, with a value");
        }
    }
    return SIGNET_OK;
}

static signet_status rules_check_names(const struct sg_claim_rules *rules, json_t *extra,
                                       struct sg_rpc_status *error)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(extra, name, value)
    {
        signet_status status = rules_check_name(rules, name, error);
        if (status != SIGNET_OK) {
            return status;
        }
    }
    return rules_check_required(rules, extra, error);
}

static bool rules_found_sensitive(void *context, enum sg_sensitive_kind kind, const char *name)
{
    struct sg_rpc_status *error = context;
    (void)rules_refuse_claim(
        error, "CLAIM_SENSITIVE", name,
        kind == SG_SENSITIVE_CARD
            ? "it looks like a card's number, and anyone who holds a token can read its claims; "
              "a grant may have allow_sensitive"
            : "it sounds like a secret, and anyone who holds a token can read its claims; a grant "
              "may have allow_sensitive");
    return false; /* the first is enough */
}

static signet_status rules_check_extra(void *context, json_t *extra)
{
    const struct sg_claim_ruling *ruling = context;
    const struct sg_claim_rules *rules = ruling->rules;
    signet_status status =
        rules != NULL ? rules_check_names(rules, extra, ruling->error) : SIGNET_OK;
    bool may_be_sensitive = rules != NULL && rules->allow_sensitive;
    if (status == SIGNET_OK && extra != NULL && !may_be_sensitive &&
        sg_sensitive_claims(extra, rules_found_sensitive, ruling->error)) {
        status = ruling->error->code;
    }
    return status;
}

/* ---- The rest of the request ---- */

/* A request and whom it is from. */
struct rules_case {
    const struct sg_claim_rules *rules;
    const struct sg_peer *peer;
    const struct sg_peer_facts *facts;
    const Signet__V1__SignRequest *request;
    struct sg_rpc_status *error;
};

static bool rules_audience_matches(const struct rules_case *it, const char *audience)
{
    const struct rules_templates *allowed = &it->rules->audiences;
    for (size_t i = 0; i < allowed->num; i++) {
        if (sg_template_matches(allowed->templates[i], it->peer, it->facts, audience)) {
            return true;
        }
    }
    return allowed->num == 0;
}

static signet_status rules_check_audiences(const struct rules_case *it)
{
    for (size_t i = 0; i < it->request->n_audience; i++) {
        if (!rules_audience_matches(it, it->request->audience[i])) {
            return sg_rpc_fail(it->error, SIGNET_PERMISSION_DENIED, "AUDIENCE_NOT_ALLOWED",
                               "audience: number %zu is not among those that the caller's grant "
                               "allows",
                               i + 1);
        }
    }
    return SIGNET_OK;
}

static signet_status rules_check_subject(const struct rules_case *it)
{
    const struct sg_template *subject = it->rules->subject;
    if (subject != NULL &&
        !sg_template_matches(subject, it->peer, it->facts, it->request->subject)) {
        return sg_rpc_fail(it->error, SIGNET_PERMISSION_DENIED, "SUBJECT_NOT_ALLOWED",
                           "subject: it is not one that the caller's grant allows");
    }
    return SIGNET_OK;
}

static signet_status rules_check_sizes(const struct rules_case *it)
{
    uint32_t max_ttl_s = it->rules->max_ttl_s;
    uint32_t max_len = it->rules->max_payload_len;
    if (max_ttl_s != 0 && it->request->ttl_s > max_ttl_s) {
        return sg_rpc_fail(it->error, SIGNET_PERMISSION_DENIED, "TTL_NOT_ALLOWED",
                           "ttl_s: the caller's grant allows at most %u seconds", max_ttl_s);
    }
    if (max_len != 0 && strnlen(it->request->claims_json, (size_t)max_len + 1) > max_len) {
        return sg_rpc_fail(it->error, SIGNET_PERMISSION_DENIED, "PAYLOAD_TOO_LARGE",
                           "claims_json: the caller's grant allows at most %u bytes", max_len);
    }
    return SIGNET_OK;
}

static signet_status rules_refuse_forced(const struct rules_case *it, size_t i)
{
    const char *unknown = sg_template_unknown(it->rules->forced_values.templates[i], it->facts);
    return sg_rpc_fail(it->error, SIGNET_PERMISSION_DENIED, "CLAIM_FORCED",
                       "claim \"%s\": the daemon sets it from the caller's %s, which is not known",
                       rules_show(it->rules->forced.names[i]).text, unknown);
}

/* Fills the list and, from text on, the texts of what is forced. */
static signet_status rules_fill_forced(const struct rules_case *it, struct sg_forced_claim *list,
                                       char *text)
{
    for (size_t i = 0; i < it->rules->forced.num; i++) {
        const struct sg_template *value = it->rules->forced_values.templates[i];
        uint32_t number = 0;
        list[i] = (struct sg_forced_claim){.name = it->rules->forced.names[i]};
        if (sg_template_is_number(value, it->peer, &number)) {
            list[i].number = number;
            continue;
        }
        if (!sg_template_fill(value, it->peer, it->facts, text)) {
            return rules_refuse_forced(it, i);
        }
        list[i].text = text;
        text += strlen(text) + 1;
    }
    return SIGNET_OK;
}

static signet_status rules_make_forced(const struct rules_case *it, struct sg_claim_ruling *out)
{
    size_t num = it->rules->forced.num;
    size_t len = num * sizeof(struct sg_forced_claim);
    if (num == 0) {
        return SIGNET_OK;
    }
    for (size_t i = 0; i < num; i++) {
        len += sg_template_max_len(it->rules->forced_values.templates[i]) + 1;
    }
    struct sg_forced_claim *list = malloc(len);
    if (list == NULL) {
        return rules_no_memory(it->error);
    }
    out->forced = list;
    out->num_forced = num;
    return rules_fill_forced(it, list, (char *)(list + num));
}

signet_status sg_claim_ruling_init(struct sg_claim_ruling *out, const struct sg_claim_rules *rules,
                                   const struct sg_peer *peer,
                                   const Signet__V1__SignRequest *request,
                                   struct sg_rpc_status *error)
{
    *out = (struct sg_claim_ruling){.rules = rules, .error = error};
    if (request->claims_json[0] != '\0' || (rules != NULL && rules->required.num != 0)) {
        out->check = (struct sg_claim_check){rules_check_extra, out};
    }
    if (rules == NULL) {
        return SIGNET_OK;
    }
    struct rules_case it = {.rules = rules, .peer = peer, .request = request, .error = error};
    if (rules->facts != 0 && peer->identity != NULL) {
        it.facts = sg_peer_facts_get(peer->identity, rules->facts);
    }
    signet_status status = rules_check_audiences(&it);
    if (status == SIGNET_OK) {
        status = rules_check_subject(&it);
    }
    if (status == SIGNET_OK) {
        status = rules_check_sizes(&it);
    }
    return status == SIGNET_OK ? rules_make_forced(&it, out) : status;
}

void sg_claim_ruling_fini(struct sg_claim_ruling *ruling)
{
    free(ruling->forced);
    *ruling = (struct sg_claim_ruling){0};
}
