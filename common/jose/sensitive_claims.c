/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over JSON with its levels in a fixed array: nothing recurses, nothing is allocated.
 */
#include "common/jose/sensitive_claims.h"

#include <jansson.h>
#include <stdio.h>

#include "common/limits.h"
#include "common/sensitive.h"

/* The least number that is long enough, and the largest that a double still tells from the next. */
#define SENSITIVE_MIN_NUMBER 1000000000000
#define SENSITIVE_MAX_DOUBLE 9007199254740992.0

/* An object or array that is being looked through. */
struct sensitive_level {
    json_t *value;
    const char *name; /* of the member that it is, or is within */
    void *member;     /* of an object: the next; NULL at the end */
    size_t index;     /* of an array: the next */
};

struct sensitive_walk {
    struct sensitive_level levels[SG_MAX_JSON_DEPTH];
    size_t depth;
    sg_sensitive_visitor *found;
    void *context;
    bool has_found;
};

static void sensitive_enter(struct sensitive_walk *walk, const char *name, json_t *value)
{
    if (walk->depth == SG_MAX_JSON_DEPTH) {
        return;
    }
    walk->levels[walk->depth++] = (struct sensitive_level){
        .value = value,
        .name = name,
        .member = json_object_iter(value),
    };
}

/* The next member or element of a level; false at its end. */
static bool sensitive_next(struct sensitive_level *level, const char **name, json_t **value)
{
    if (json_is_array(level->value)) {
        *name = level->name;
        *value = json_array_get(level->value, level->index++);
        return *value != NULL;
    }
    if (level->member == NULL) {
        return false;
    }
    *name = json_object_iter_key(level->member);
    *value = json_object_iter_value(level->member);
    level->member = json_object_iter_next(level->value, level->member);
    return true;
}

/* A number as it would be written in digits; 0 if it is too small to matter, or no whole one. */
static json_int_t sensitive_number(const json_t *value)
{
    double real = json_real_value(value); /* 0 of an integer */
    if (json_is_integer(value)) {
        return json_integer_value(value);
    }
    bool is_whole = real >= SENSITIVE_MIN_NUMBER && real <= SENSITIVE_MAX_DOUBLE &&
                    (double)(json_int_t)real >= real;
    return is_whole ? (json_int_t)real : 0;
}

static bool sensitive_is_card(const json_t *value)
{
    char digits[24];
    if (json_is_string(value)) {
        return sg_sensitive_is_card_number(json_string_value(value), json_string_length(value));
    }
    json_int_t number = sensitive_number(value);
    if (number < SENSITIVE_MIN_NUMBER) {
        return false;
    }
    int len = snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, number);
    return sg_sensitive_is_card_number(digits, (size_t)len);
}

static bool sensitive_tell(struct sensitive_walk *walk, enum sg_sensitive_kind kind,
                           const char *name)
{
    walk->has_found = true;
    return walk->found(walk->context, kind, name);
}

/* Looks at one value; false ends the walk. named: it is a member, and no element. */
static bool sensitive_look(struct sensitive_walk *walk, bool named, const char *name, json_t *value)
{
    bool says_nothing = json_is_boolean(value) || json_is_null(value);
    if (named && !says_nothing && sg_sensitive_name(name) &&
        !sensitive_tell(walk, SG_SENSITIVE_NAME, name)) {
        return false;
    }
    if (json_is_object(value) || json_is_array(value)) {
        sensitive_enter(walk, name, value);
        return true;
    }
    return !sensitive_is_card(value) || sensitive_tell(walk, SG_SENSITIVE_CARD, name);
}

bool sg_sensitive_claims(json_t *claims, sg_sensitive_visitor *found, void *context)
{
    struct sensitive_walk walk;
    walk.depth = 0;
    walk.found = found;
    walk.context = context;
    walk.has_found = false;
    sensitive_enter(&walk, "", claims);
    while (walk.depth > 0) {
        struct sensitive_level *level = &walk.levels[walk.depth - 1];
        const char *name = NULL;
        json_t *value = NULL;
        if (!sensitive_next(level, &name, &value)) {
            walk.depth--;
        } else if (!sensitive_look(&walk, !json_is_array(level->value), name, value)) {
            break;
        }
    }
    return walk.has_found;
}
