/* SPDX-License-Identifier: Apache-2.0
 *
 * The text has a line "ID:CONTROLLERS:PATH" for each hierarchy: "0::PATH" is cgroup v2, and the one of
 * "name=systemd" is where systemd keeps its units with v1, and in a hybrid of both. What comes in the way of
 * a path is as systemd makes it (systemd.unit(5), and its cgroup-util.c): slices, which only the service
 * manager makes, then the unit, then whatever the unit makes for itself.
 */
#include "server/peer_unit.h"

#include <string.h>

#include "server/peer.h"

/* Units that have control groups, and can hold processes. */
static const char *const unit_suffixes[] = {".service", ".scope", ".socket", ".mount", ".swap"};

struct unit_part {
    const char *text;
    size_t len;
};

static bool part_ends_with(struct unit_part part, const char *suffix)
{
    size_t len = strlen(suffix);
    return part.len > len && memcmp(part.text + part.len - len, suffix, len) == 0;
}

static bool part_is_unit(struct unit_part part)
{
    static const char characters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        ":-_.\\@";
    if (part.len > SG_PEER_MAX_UNIT || strspn(part.text, characters) < part.len) {
        return false;
    }
    for (size_t i = 0; i < sizeof(unit_suffixes) / sizeof(unit_suffixes[0]); i++) {
        if (part_ends_with(part, unit_suffixes[i])) {
            return true;
        }
    }
    return false;
}

/* Takes the next part of a path that *at is in: at a '/'. False for an empty one. */
static bool part_next(const char **at, const char *end, struct unit_part *out)
{
    const char *text = *at + 1;
    const char *slash = text < end ? memchr(text, '/', (size_t)(end - text)) : NULL;
    *at = slash != NULL ? slash : end;
    *out = (struct unit_part){.text = text, .len = (size_t)(*at - text)};
    return out->len > 0;
}

static bool part_is(struct unit_part part, const char *text)
{
    return part.len == strlen(text) && memcmp(part.text, text, part.len) == 0;
}

/* The path from the first byte, a '/', to end. */
static enum sg_peer_outcome unit_of_path(const char *path, const char *end, struct unit_part *out)
{
    const char *at = path;
    struct unit_part part;
    if (end - path == 1) {
        return SG_PEER_NO_UNIT;
    }
    while (at < end) {
        if (!part_next(&at, end, &part) || part_is(part, ".")) {
            return SG_PEER_UNREADABLE;
        }
        /* The kernel puts these in front of what is not below the root of our cgroup namespace. */
        if (part_is(part, "..")) {
            return SG_PEER_OTHER_CGROUPS;
        }
        if (part_ends_with(part, ".slice")) {
            continue;
        }
        /* systemd puts it in front of names that the kernel has a use for. */
        if (part.text[0] == '_') {
            part.text++;
            part.len--;
        }
        *out = part;
        return part_is_unit(part) ? SG_PEER_FOUND : SG_PEER_NO_UNIT;
    }
    return SG_PEER_NO_UNIT;
}

/* What a line says, up to its newline: NO_UNIT for hierarchies that systemd does not use. */
static enum sg_peer_outcome unit_of_line(const char *line, const char *end, struct unit_part *out)
{
    const char *controllers = memchr(line, ':', (size_t)(end - line));
    if (controllers == NULL) {
        return SG_PEER_UNREADABLE;
    }
    controllers++;
    const char *path = memchr(controllers, ':', (size_t)(end - controllers));
    if (path == NULL || path + 1 == end || path[1] != '/') {
        return SG_PEER_UNREADABLE;
    }
    struct unit_part id = {.text = line, .len = (size_t)(controllers - 1 - line)};
    struct unit_part names = {.text = controllers, .len = (size_t)(path - controllers)};
    bool is_systemds = part_is(names, "name=systemd") || (names.len == 0 && part_is(id, "0"));
    return is_systemds ? unit_of_path(path + 1, end, out) : SG_PEER_NO_UNIT;
}

enum sg_peer_outcome sg_peer_unit_parse(const char *text, char *out)
{
    struct unit_part found = {0};
    while (*text != '\0') {
        struct unit_part part = {0};
        const char *end = strchr(text, '\n');
        enum sg_peer_outcome outcome =
            end != NULL ? unit_of_line(text, end, &part) : SG_PEER_UNREADABLE;
        if (outcome != SG_PEER_FOUND && outcome != SG_PEER_NO_UNIT) {
            return outcome;
        }
        /* In a hybrid both say the same, or neither is to be believed. */
        if (outcome == SG_PEER_FOUND && found.len > 0 &&
            (found.len != part.len || memcmp(found.text, part.text, part.len) != 0)) {
            return SG_PEER_NO_UNIT;
        }
        found = outcome == SG_PEER_FOUND ? part : found;
        text = end + 1;
    }
    if (found.len == 0) {
        return SG_PEER_NO_UNIT;
    }
    memcpy(out, found.text, found.len);
    out[found.len] = '\0';
    return SG_PEER_FOUND;
}
