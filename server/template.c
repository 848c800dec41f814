/* SPDX-License-Identifier: Apache-2.0
 *
 * Templates as rows of pieces.
 */
#include "server/template.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/wire_text.h"

enum template_kind {
    TEMPLATE_TEXT = 1, /* itself */
    TEMPLATE_STAR,     /* any run of characters */
    TEMPLATE_USER,
    TEMPLATE_UID,
    TEMPLATE_GID,
    TEMPLATE_UNIT,
    TEMPLATE_NOTHING /* ${...} that is called nothing that we know */
};

struct template_piece {
    enum template_kind kind;
    const char *text; /* of TEMPLATE_TEXT; within the template's own */
    size_t len;
};

struct sg_template {
    char *text; /* owned */
    size_t num;
    struct template_piece pieces[];
};

#define TEMPLATE_MAX_NUMBER 10u /* digits of 32 bits */

static const struct template_name {
    const char *text;
    enum template_kind kind;
} template_names[] = {
    {"${peer.user}", TEMPLATE_USER},
    {"${peer.uid}", TEMPLATE_UID},
    {"${peer.gid}", TEMPLATE_GID},
    {"${peer.unit}", TEMPLATE_UNIT},
};

/* ---- Compiling ---- */

/* What begins at a '$' followed by '{'. */
static struct template_piece template_read_name(const char *at)
{
    const char *end = strchr(at, '}');
    struct template_piece piece = {
        .kind = TEMPLATE_NOTHING,
        .text = at,
        .len = end != NULL ? (size_t)(end - at) + 1 : strlen(at),
    };
    for (size_t i = 0; i < sizeof(template_names) / sizeof(template_names[0]); i++) {
        const char *name = template_names[i].text;
        if (strlen(name) == piece.len && memcmp(name, at, piece.len) == 0) {
            piece.kind = template_names[i].kind;
        }
    }
    return piece;
}

static bool template_is_special(const char *at, bool is_glob)
{
    return (is_glob && *at == '*') || (at[0] == '$' && at[1] == '{');
}

static struct template_piece template_read_piece(const char *at, bool is_glob)
{
    struct template_piece piece = {.kind = TEMPLATE_TEXT, .text = at};
    if (!template_is_special(at, is_glob)) {
        while (at[piece.len] != '\0' && !template_is_special(at + piece.len, is_glob)) {
            piece.len++;
        }
        return piece;
    }
    if (*at == '$') {
        return template_read_name(at);
    }
    return (struct template_piece){.kind = TEMPLATE_STAR, .text = at, .len = 1};
}

/* How many pieces text has; writes them unless they are NULL. */
static size_t template_read(const char *text, bool is_glob, struct template_piece *pieces)
{
    size_t num = 0;
    while (*text != '\0') {
        struct template_piece piece = template_read_piece(text, is_glob);
        if (pieces != NULL) {
            pieces[num] = piece;
        }
        num++;
        text += piece.len;
    }
    return num;
}

struct sg_template *sg_template_new(const char *text, bool is_glob)
{
    size_t num = template_read(text, is_glob, NULL);
    struct sg_template *template = malloc(sizeof(*template) + num * sizeof(template->pieces[0]));
    if (template == NULL) {
        return NULL;
    }
    template->text = strdup(text);
    template->num = num;
    if (template->text == NULL) {
        free(template);
        return NULL;
    }
    (void)template_read(template->text, is_glob, template->pieces);
    return template;
}

void sg_template_free(struct sg_template *template)
{
    if (template != NULL) {
        free(template->text);
        free(template);
    }
}

unsigned sg_template_facts(const struct sg_template *template)
{
    unsigned facts = 0;
    for (size_t i = 0; i < template->num; i++) {
        facts |= template->pieces[i].kind == TEMPLATE_USER ? (unsigned)SG_PEER_USER : 0;
        facts |= template->pieces[i].kind == TEMPLATE_UNIT ? (unsigned)SG_PEER_UNIT : 0;
    }
    return facts;
}

/* ---- What the peer has ---- */

/* The peer's user or unit; NULL if it has none that can be used. */
static const char *template_fact(const struct sg_peer_facts *facts, enum template_kind kind)
{
    unsigned fact = kind == TEMPLATE_USER ? SG_PEER_USER : SG_PEER_UNIT;
    if (facts == NULL || (facts->known & fact) == 0) {
        return NULL;
    }
    const char *text = kind == TEMPLATE_USER ? facts->user : facts->unit;
    return text[0] != '\0' && sg_wire_text_is_good(text) ? text : NULL;
}

/* The text of a piece, in number if it is one; NULL if the peer has none. */
static const char *template_value(const struct template_piece *piece, const struct sg_peer *peer,
                                  const struct sg_peer_facts *facts,
                                  char number[TEMPLATE_MAX_NUMBER + 1], size_t *len)
{
    const char *text = NULL;
    switch (piece->kind) {
    case TEMPLATE_TEXT:
        *len = piece->len;
        return piece->text;
    case TEMPLATE_USER:
    case TEMPLATE_UNIT:
        text = template_fact(facts, piece->kind);
        break;
    case TEMPLATE_UID:
    case TEMPLATE_GID:
        (void)snprintf(number, TEMPLATE_MAX_NUMBER + 1, "%" PRIu32,
                       (uint32_t)(piece->kind == TEMPLATE_UID ? peer->uid : peer->gid));
        text = number;
        break;
    case TEMPLATE_STAR:
    case TEMPLATE_NOTHING:
        break;
    }
    *len = text != NULL ? strlen(text) : 0;
    return text;
}

const char *sg_template_unknown(const struct sg_template *template,
                                const struct sg_peer_facts *facts)
{
    for (size_t i = 0; i < template->num; i++) {
        enum template_kind kind = template->pieces[i].kind;
        if (kind == TEMPLATE_NOTHING) {
            return "template";
        }
        if ((kind == TEMPLATE_USER || kind == TEMPLATE_UNIT) &&
            template_fact(facts, kind) == NULL) {
            return kind == TEMPLATE_USER ? "user" : "unit";
        }
    }
    return NULL;
}

bool sg_template_is_number(const struct sg_template *template, const struct sg_peer *peer,
                           uint32_t *out)
{
    enum template_kind kind = template->num == 1 ? template->pieces[0].kind : TEMPLATE_NOTHING;
    if (kind != TEMPLATE_UID && kind != TEMPLATE_GID) {
        return false;
    }
    *out = (uint32_t)(kind == TEMPLATE_UID ? peer->uid : peer->gid);
    return true;
}

/* ---- Its text ---- */

size_t sg_template_max_len(const struct sg_template *template)
{
    size_t len = 0;
    for (size_t i = 0; i < template->num; i++) {
        const struct template_piece *piece = &template->pieces[i];
        len += piece->kind == TEMPLATE_TEXT   ? piece->len
               : piece->kind == TEMPLATE_USER ? SG_PEER_MAX_USER
               : piece->kind == TEMPLATE_UNIT ? SG_PEER_MAX_UNIT
                                              : TEMPLATE_MAX_NUMBER;
    }
    return len;
}

bool sg_template_fill(const struct sg_template *template, const struct sg_peer *peer,
                      const struct sg_peer_facts *facts, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < template->num; i++) {
        char number[TEMPLATE_MAX_NUMBER + 1];
        size_t piece_len = 0;
        const char *text = template_value(&template->pieces[i], peer, facts, number, &piece_len);
        if (text == NULL) {
            return false;
        }
        memcpy(out + len, text, piece_len);
        len += piece_len;
    }
    out[len] = '\0';
    return true;
}

/* Whether a piece stands at the beginning of text, and how long it is there. */
static bool template_stands_at(const struct template_piece *piece, const struct sg_peer *peer,
                               const struct sg_peer_facts *facts, const char *text, size_t *len)
{
    char number[TEMPLATE_MAX_NUMBER + 1];
    const char *value = template_value(piece, peer, facts, number, len);
    return value != NULL && strncmp(value, text, *len) == 0;
}

/* After a piece that does not fit, what follows the last star is tried one character further on; stars
 * before it took as little as they could, which leaves the most to what is behind them. */
bool sg_template_matches(const struct sg_template *template, const struct sg_peer *peer,
                         const struct sg_peer_facts *facts, const char *text)
{
    const char *star_end = NULL; /* where the last star's run ends; NULL: there was no star */
    size_t behind_star = 0;
    size_t i = 0;
    for (const char *at = text;;) {
        size_t len = 0;
        if (i < template->num && template->pieces[i].kind == TEMPLATE_STAR) {
            star_end = at;
            behind_star = ++i;
        } else if (i < template->num &&
                   template_stands_at(&template->pieces[i], peer, facts, at, &len)) {
            at += len;
            i++;
        } else if (i == template->num && *at == '\0') {
            return true;
        } else if (star_end == NULL || *star_end == '\0') {
            return false;
        } else {
            at = ++star_end;
            i = behind_star;
        }
    }
}
