/* SPDX-License-Identifier: Apache-2.0
 *
 * Decisions in words, for operators. A peer chooses the path of its program and the names it asks for, so
 * whatever is no printable ASCII is written as \xNN.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/policy_grants.h"
#include "server/right.h"

/* ---- Writing ---- */

struct policy_text {
    char *out;
    size_t cap; /* at least 1 */
    size_t len;
};

static struct policy_text policy_text_in(char *out, size_t cap)
{
    out[0] = '\0';
    return (struct policy_text){.out = out, .cap = cap};
}

static void policy_add_char(struct policy_text *text, char c)
{
    if (text->len + 1 < text->cap) {
        text->out[text->len++] = c;
        text->out[text->len] = '\0';
    }
}

static void policy_write(struct policy_text *text, const char *words)
{
    static const char hex[] = "0123456789abcdef";
    for (; *words != '\0'; words++) {
        unsigned char c = (unsigned char)*words;
        if (c >= ' ' && c < 0x7f) {
            policy_add_char(text, (char)c);
        } else if (text->len + 4 < text->cap) {
            policy_add_char(text, '\\');
            policy_add_char(text, 'x');
            policy_add_char(text, hex[c >> 4]);
            policy_add_char(text, hex[c & 15]);
        }
    }
}

static void policy_write_number(struct policy_text *text, uint32_t number)
{
    char digits[16];
    (void)snprintf(digits, sizeof(digits), "%" PRIu32, number);
    policy_write(text, digits);
}

static void policy_write_id(struct policy_text *text, const char *what, uint32_t id)
{
    policy_write(text, what);
    policy_write(text, " ");
    policy_write_number(text, id);
}

static void policy_write_hash(struct policy_text *text, const uint8_t *hash)
{
    for (size_t i = 0; i < 32; i++) {
        char byte[3];
        (void)snprintf(byte, sizeof(byte), "%02x", hash[i]);
        policy_write(text, byte);
    }
}

/* ---- What a grant asks ---- */

static void policy_write_rights(struct policy_text *text, unsigned rights)
{
    const char *between = "";
    for (unsigned i = 0; i < SG_NUM_RIGHTS; i++) {
        if ((rights & (unsigned)sg_right_at(i)) != 0) {
            policy_write(text, between);
            policy_write(text, sg_right_name(sg_right_at(i)));
            between = " or ";
        }
    }
}

static void policy_write_keysets(struct policy_text *text, const struct sg_grant *grant)
{
    for (size_t i = 0; i < grant->num_keysets; i++) {
        policy_write(text, i == 0 ? "" : " or ");
        policy_write(text, grant->keysets[i]);
    }
}

/* A name that is a number already, or unknown, is not told besides. */
static void policy_write_named_id(struct policy_text *text, const char *name, const char *what,
                                  uint32_t id)
{
    if (name[strspn(name, "0123456789")] != '\0') {
        policy_write(text, name);
        policy_write(text, " (");
        policy_write_id(text, what, id);
        policy_write(text, ")");
    } else {
        policy_write_id(text, what, id);
    }
}

static void policy_write_expected(struct policy_text *text, const struct sg_grant *grant,
                                  enum sg_selector selector)
{
    switch (selector) {
    case SG_SELECTOR_USER:
        if (grant->user != NULL) {
            policy_write_named_id(text, grant->user, "uid", (uint32_t)grant->uid);
        } else {
            policy_write(text, "nobody");
        }
        break;
    case SG_SELECTOR_RIGHT:
        policy_write_rights(text, grant->may);
        break;
    case SG_SELECTOR_KEYSET:
        policy_write_keysets(text, grant);
        break;
    case SG_SELECTOR_GROUP:
        policy_write_named_id(text, grant->group, "gid", (uint32_t)grant->gid);
        break;
    case SG_SELECTOR_UNIT:
        policy_write(text, grant->unit);
        break;
    case SG_SELECTOR_EXE:
        policy_write(text, grant->exe);
        break;
    case SG_SELECTOR_EXE_SHA256:
        policy_write_hash(text, grant->exe_sha256);
        break;
    case SG_SELECTOR_NONE:
        break;
    }
}

/* ---- What there is instead ---- */

/* Writes why a fact is not known, if it is not. */
static bool policy_write_unknown(struct policy_text *text, const struct sg_policy_query *query,
                                 enum sg_peer_fact fact)
{
    const struct sg_peer_facts *facts = query->facts;
    if (facts != NULL && (facts->known & (unsigned)fact) != 0) {
        return false;
    }
    policy_write(text, "not known");
    if (facts != NULL && (facts->failed & (unsigned)fact) != 0 && facts->problem != NULL) {
        policy_write(text, " (");
        policy_write(text, facts->problem);
        policy_write(text, ")");
    }
    return true;
}

static void policy_write_user(struct policy_text *text, const struct sg_policy_query *query)
{
    bool has_name = query->facts != NULL && (query->facts->known & SG_PEER_USER) != 0;
    policy_write_named_id(text, has_name ? query->facts->user : "", "uid",
                          (uint32_t)query->peer->uid);
}

static void policy_write_groups(struct policy_text *text, const struct sg_policy_query *query)
{
    policy_write_id(text, "gid", (uint32_t)query->peer->gid);
    policy_write(text, "; others: ");
    if (policy_write_unknown(text, query, SG_PEER_GROUPS)) {
        return;
    }
    for (size_t i = 0; i < query->facts->num_groups; i++) {
        policy_write(text, i == 0 ? "" : ", ");
        policy_write_number(text, (uint32_t)query->facts->groups[i]);
    }
    policy_write(text, query->facts->num_groups == 0 ? "none" : "");
}

static void policy_write_actual(struct policy_text *text, const struct sg_policy_query *query,
                                enum sg_selector selector)
{
    switch (selector) {
    case SG_SELECTOR_USER:
        policy_write_user(text, query);
        break;
    case SG_SELECTOR_RIGHT:
        policy_write_rights(text, (unsigned)query->right);
        break;
    case SG_SELECTOR_KEYSET:
        policy_write(text, query->keyset != NULL ? query->keyset : "all of them");
        break;
    case SG_SELECTOR_GROUP:
        policy_write_groups(text, query);
        break;
    case SG_SELECTOR_UNIT:
        if (!policy_write_unknown(text, query, SG_PEER_UNIT)) {
            policy_write(text, query->facts->unit);
        }
        break;
    case SG_SELECTOR_EXE:
        if (!policy_write_unknown(text, query, SG_PEER_EXE)) {
            policy_write(text, query->facts->exe);
        }
        break;
    case SG_SELECTOR_EXE_SHA256:
        if (!policy_write_unknown(text, query, SG_PEER_EXE_SHA256)) {
            policy_write_hash(text, query->facts->exe_sha256);
        }
        break;
    case SG_SELECTOR_NONE:
        break;
    }
}

/* ---- Telling ---- */

const char *sg_selector_name(enum sg_selector selector)
{
    static const char *const names[] = {
        [SG_SELECTOR_USER] = "user",
        [SG_SELECTOR_RIGHT] = "right",
        [SG_SELECTOR_KEYSET] = "keyset",
        [SG_SELECTOR_GROUP] = "group",
        [SG_SELECTOR_UNIT] = "unit",
        [SG_SELECTOR_EXE] = "exe",
        [SG_SELECTOR_EXE_SHA256] = "exe_sha256",
    };
    return (size_t)selector < sizeof(names) / sizeof(names[0]) ? names[selector] : NULL;
}

static void policy_write_nothing_near(struct policy_text *text, const struct sg_policy_query *query)
{
    policy_write(text, "no grant lets anyone ");
    policy_write_rights(text, (unsigned)query->right);
    policy_write(text, query->keyset != NULL ? " with keyset " : " with all keysets");
    policy_write(text, query->keyset != NULL ? query->keyset : "");
}

void sg_decision_text(const struct sg_decision *decision, char *out, size_t cap)
{
    const struct sg_grant *grant = decision->is_allowed ? decision->grant : decision->closest;
    if (cap == 0) {
        return;
    }
    struct policy_text text = policy_text_in(out, cap);
    if (grant == NULL) {
        policy_write_nothing_near(&text, &decision->query);
        return;
    }
    policy_write(&text, "grant ");
    policy_write(&text, grant->name);
    if (!decision->is_allowed) {
        policy_write(&text, ": ");
        policy_write(&text, sg_selector_name(decision->failed));
        policy_write(&text, " is ");
        policy_write_actual(&text, &decision->query, decision->failed);
        policy_write(&text, ", and has to be ");
        policy_write_expected(&text, grant, decision->failed);
    }
}

/* One grant; false if it decides. */
static bool policy_explain_grant(const struct sg_grant *grant, struct sg_policy_query *query,
                                 sg_policy_visitor *visit, void *context)
{
    char expected[SG_POLICY_MAX_VALUE];
    char actual[SG_POLICY_MAX_VALUE];
    struct policy_text expected_text = policy_text_in(expected, sizeof(expected));
    struct policy_text actual_text = policy_text_in(actual, sizeof(actual));
    enum sg_selector failed = sg_grant_failing(grant, query);
    policy_write_expected(&expected_text, grant, failed);
    policy_write_actual(&actual_text, query, failed);
    const struct sg_explained step = {
        .grant = grant,
        .matches = failed == SG_SELECTOR_NONE,
        .failed = failed,
        .expected = expected,
        .actual = actual,
    };
    visit(context, &step);
    return !step.matches;
}

void sg_policy_explain(const struct sg_policy *policy, const struct sg_peer *peer,
                       enum sg_right right, const char *keyset, sg_policy_visitor *visit,
                       void *context)
{
    struct sg_policy_query query = {.peer = peer, .right = right, .keyset = keyset};
    for (size_t i = 0; i < policy->num; i++) {
        if (!policy_explain_grant(&policy->grants[i], &query, visit, context)) {
            return;
        }
    }
}
