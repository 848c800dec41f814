/* SPDX-License-Identifier: Apache-2.0
 *
 * Watching the directory of foreign issuers: which there are, and whether their files are others than
 * before. What is in the files is judged in trust_file.c.
 */
#include "server/trust.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/trust_file.h"

#define TRUST_SUFFIX ".yaml"

/* ---- Issuers ---- */

/* The count stands behind what others see. */
struct trust_counted {
    struct sg_trust_issuer issuer;
    atomic_uint num_refs;
};

struct sg_trust_issuer *sg_trust_issuer_new(const char *name)
{
    struct trust_counted *counted = calloc(1, sizeof(*counted));
    if (counted == NULL) {
        return NULL;
    }
    counted->issuer.keys = calloc(SG_TRUST_MAX_KEYS, sizeof(*counted->issuer.keys));
    if (counted->issuer.keys == NULL) {
        free(counted);
        return NULL;
    }
    (void)snprintf(counted->issuer.name, sizeof(counted->issuer.name), "%s", name);
    atomic_init(&counted->num_refs, 1);
    return &counted->issuer;
}

struct sg_trust_issuer *sg_trust_issuer_ref(struct sg_trust_issuer *issuer)
{
    struct trust_counted *counted = (struct trust_counted *)issuer;
    (void)atomic_fetch_add_explicit(&counted->num_refs, 1, memory_order_relaxed);
    return issuer;
}

void sg_trust_issuer_unref(struct sg_trust_issuer *issuer)
{
    struct trust_counted *counted = (struct trust_counted *)issuer;
    if (issuer == NULL ||
        atomic_fetch_sub_explicit(&counted->num_refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < issuer->num_keys; i++) {
        sg_public_key_free(issuer->keys[i].public_key);
    }
    free(issuer->keys);
    free(counted);
}

/* ---- The directory ---- */

/* One NAME.yaml. */
struct trust_entry {
    char name[SG_MAX_KEYSET_NAME_LEN + 1];
    struct sg_trust_issuer *good; /* as it was last good; NULL: never yet */
    bool is_used;                 /* good is given out */
    bool is_seen;                 /* in the present look at the directory */
    bool is_read;
    struct sg_trust_files files;  /* as of the last reading */
    char said[SG_TRUST_MAX_LINE]; /* the last complaint; empty: it is right */
};

struct sg_trust {
    char *dir;
    char said[SG_TRUST_MAX_LINE]; /* of the directory itself */
    struct trust_entry *entries;  /* in the order of their names */
    size_t num_entries;
    struct sg_trust_issuer **issuers; /* given out; belong to the entries */
    size_t num_issuers;
    bool is_fresh; /* an issuer was read since they were given out: the address says nothing */
};

struct trust_voice {
    void (*complain)(void *context, bool is_error, const char *line);
    void *context;
};

signet_status sg_trust_new(const char *dir, struct sg_trust **out)
{
    struct sg_trust *trust = calloc(1, sizeof(*trust));
    if (trust == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    trust->dir = strdup(dir);
    trust->entries = calloc(SG_TRUST_MAX_ISSUERS, sizeof(*trust->entries));
    trust->issuers = calloc(SG_TRUST_MAX_ISSUERS, sizeof(struct sg_trust_issuer *));
    if (trust->dir == NULL || trust->entries == NULL || trust->issuers == NULL) {
        sg_trust_free(trust);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = trust;
    return SIGNET_OK;
}

void sg_trust_free(struct sg_trust *trust)
{
    if (trust == NULL) {
        return;
    }
    for (size_t i = 0; i < trust->num_entries; i++) {
        sg_trust_issuer_unref(trust->entries[i].good);
    }
    free(trust->entries);
    free(trust->issuers);
    free(trust->dir);
    free(trust);
}

/* Says what is wrong once, and once that it is right again. */
static void trust_say(const struct trust_voice *voice, char said[SG_TRUST_MAX_LINE],
                      const char *fault, const char *name)
{
    if (strcmp(said, fault) == 0) {
        return;
    }
    if (fault[0] != '\0') {
        voice->complain(voice->context, true, fault);
    } else {
        char line[SG_TRUST_MAX_LINE];
        (void)snprintf(line, sizeof(line), "%.600s: is good again", name);
        voice->complain(voice->context, false, line);
    }
    (void)snprintf(said, SG_TRUST_MAX_LINE, "%s", fault);
}

static bool trust_name_of(const char *file, char out[SG_MAX_KEYSET_NAME_LEN + 1])
{
    size_t len = strlen(file);
    const size_t suffix = strlen(TRUST_SUFFIX);
    if (len <= suffix || len - suffix > SG_MAX_KEYSET_NAME_LEN ||
        strcmp(file + len - suffix, TRUST_SUFFIX) != 0) {
        return false;
    }
    memcpy(out, file, len - suffix);
    out[len - suffix] = '\0';
    return sg_config_is_name(out);
}

/* The entry of the name, made in its place if there is none; NULL if there are too many. */
static struct trust_entry *trust_entry(struct sg_trust *trust, const char *name)
{
    size_t at = 0;
    while (at < trust->num_entries && strcmp(trust->entries[at].name, name) < 0) {
        at++;
    }
    struct trust_entry *entry = &trust->entries[at];
    if (at < trust->num_entries && strcmp(entry->name, name) == 0) {
        return entry;
    }
    if (trust->num_entries == SG_TRUST_MAX_ISSUERS) {
        return NULL;
    }
    memmove(entry + 1, entry, (trust->num_entries - at) * sizeof(*entry));
    memset(entry, 0, sizeof(*entry));
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    trust->num_entries++;
    return entry;
}

/* Marks the entries whose files are there. False if the directory cannot be used as it is: then what was
 * known stays. One that is not there has no issuers. */
static bool trust_look(struct sg_trust *trust, const struct trust_voice *voice)
{
    char fault[SG_TRUST_MAX_LINE] = "";
    DIR *list = trust->dir[0] != '\0' ? opendir(trust->dir) : NULL;
    if (list == NULL && trust->dir[0] != '\0' && errno != ENOENT) {
        (void)snprintf(fault, sizeof(fault), "%.600s: cannot be listed: %s", trust->dir,
                       strerrordesc_np(errno));
    } else if (list != NULL) {
        signet_status status = sg_trust_file_check_dir(trust->dir, fault);
        const struct dirent *file = NULL;
        while (status == SIGNET_OK && (file = readdir(list)) != NULL) {
            char name[SG_MAX_KEYSET_NAME_LEN + 1];
            struct trust_entry *entry =
                trust_name_of(file->d_name, name) ? trust_entry(trust, name) : NULL;
            if (entry != NULL) {
                entry->is_seen = true;
            } else if (trust->num_entries == SG_TRUST_MAX_ISSUERS &&
                       trust_name_of(file->d_name, name)) {
                (void)snprintf(fault, sizeof(fault), "%.600s: more than %u issuers; %s is left out",
                               trust->dir, SG_TRUST_MAX_ISSUERS, name);
            }
        }
        (void)closedir(list);
        if (status != SIGNET_OK) {
            trust_say(voice, trust->said, fault, trust->dir);
            return false;
        }
    }
    trust_say(voice, trust->said, fault, trust->dir);
    return list != NULL || fault[0] == '\0';
}

static void trust_drop_gone(struct sg_trust *trust, const struct trust_voice *voice)
{
    size_t kept = 0;
    for (size_t i = 0; i < trust->num_entries; i++) {
        struct trust_entry *entry = &trust->entries[i];
        if (entry->is_seen) {
            trust->entries[kept++] = *entry;
            continue;
        }
        if (entry->good != NULL) {
            char line[SG_TRUST_MAX_LINE];
            (void)snprintf(line, sizeof(line),
                           "%.600s/%s" TRUST_SUFFIX " is gone: %.255s is no "
                           "longer trusted",
                           trust->dir, entry->name, entry->good->issuer);
            voice->complain(voice->context, false, line);
        }
        sg_trust_issuer_unref(entry->good);
    }
    trust->num_entries = kept;
}

/* ---- One entry ---- */

static bool trust_is_changed(const struct sg_trust *trust, const struct trust_entry *entry)
{
    char path[SG_TRUST_MAX_PATH];
    if (!entry->is_read) {
        return true;
    }
    (void)snprintf(path, sizeof(path), "%s/%s" TRUST_SUFFIX, trust->dir, entry->name);
    const struct sg_trust_stamp yaml = sg_trust_stamp_of(path);
    const struct sg_trust_stamp jwks = sg_trust_stamp_of(entry->files.jwks_path);
    return !sg_trust_stamp_same(&yaml, &entry->files.yaml) ||
           !sg_trust_stamp_same(&jwks, &entry->files.jwks);
}

/* Reads the files if they are others than before. What they say is wrong goes to files.line. */
static void trust_refresh(struct sg_trust *trust, struct trust_entry *entry)
{
    struct sg_trust_issuer *fresh = NULL;
    if (!trust_is_changed(trust, entry)) {
        return;
    }
    signet_status status = sg_trust_file_read(trust->dir, entry->name, &entry->files, &fresh);
    entry->is_read = status != SIGNET_RESOURCE_EXHAUSTED; /* else the next time */
    if (status == SIGNET_OK) {
        sg_trust_issuer_unref(entry->good);
        entry->good = fresh;
        trust->is_fresh = true;
        entry->files.line[0] = '\0';
    }
}

static bool trust_is_local(const char *const *list, size_t num, const char *text)
{
    for (size_t i = 0; i < num; i++) {
        if (strcmp(list[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* Why an issuer that can be read may not be used; empty if it may. */
static void trust_find_conflict(const struct sg_trust *trust, const struct trust_entry *entry,
                                const struct sg_trust_local *local, char fault[SG_TRUST_MAX_LINE])
{
    const char *issuer = entry->good->issuer;
    fault[0] = '\0';
    if (trust_is_local(local->keysets, local->num, entry->name)) {
        (void)snprintf(fault, SG_TRUST_MAX_LINE,
                       "%.600s/%s" TRUST_SUFFIX ": a keyset here is called so too; rename the file",
                       trust->dir, entry->name);
        return;
    }
    if (trust_is_local(local->issuers, local->num, issuer)) {
        (void)snprintf(fault, SG_TRUST_MAX_LINE,
                       "%.600s/%s" TRUST_SUFFIX ": issuer: %.255s is a keyset's here, and nobody "
                       "else's tokens are taken for its",
                       trust->dir, entry->name, issuer);
        return;
    }
    for (size_t i = 0; i < trust->num_entries; i++) {
        const struct trust_entry *other = &trust->entries[i];
        if (other != entry && other->is_used && strcmp(other->good->issuer, issuer) == 0) {
            (void)snprintf(fault, SG_TRUST_MAX_LINE,
                           "%.600s/%s" TRUST_SUFFIX ": issuer: %s" TRUST_SUFFIX
                           " has %.255s already",
                           trust->dir, entry->name, other->name, issuer);
            return;
        }
    }
}

/* Whether and why not an entry is used from now on. */
static void trust_judge(struct sg_trust *trust, struct trust_entry *entry,
                        const struct sg_trust_local *local, const struct trust_voice *voice)
{
    char fault[SG_TRUST_MAX_LINE] = "";
    entry->is_used = false;
    if (entry->good != NULL) {
        trust_find_conflict(trust, entry, local, fault);
        entry->is_used = fault[0] == '\0';
    }
    /* What is wrong with the file goes first: it stays as it was last good meanwhile. */
    trust_say(voice, entry->said, entry->files.line[0] != '\0' ? entry->files.line : fault,
              entry->name);
}

/* ---- All of it ---- */

/* Those that were in use before are judged first, so that a newcomer never takes an issuer's name away. */
static void trust_judge_all(struct sg_trust *trust, const struct sg_trust_local *local,
                            const struct trust_voice *voice)
{
    bool was_used[SG_TRUST_MAX_ISSUERS];
    for (size_t i = 0; i < trust->num_entries; i++) {
        was_used[i] = trust->entries[i].is_used;
        trust->entries[i].is_used = false;
    }
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < trust->num_entries; i++) {
            if (was_used[i] == (turn == 0)) {
                trust_judge(trust, &trust->entries[i], local, voice);
            }
        }
    }
}

static bool trust_give_out(struct sg_trust *trust)
{
    size_t num = 0;
    bool changed = trust->is_fresh;
    trust->is_fresh = false;
    for (size_t i = 0; i < trust->num_entries; i++) {
        const struct trust_entry *entry = &trust->entries[i];
        if (entry->is_used) {
            changed = changed || num >= trust->num_issuers || trust->issuers[num] != entry->good;
            trust->issuers[num++] = entry->good;
        }
    }
    changed = changed || num != trust->num_issuers;
    trust->num_issuers = num;
    return changed;
}

bool sg_trust_read(struct sg_trust *trust, const struct sg_trust_local *local,
                   void (*complain)(void *context, bool is_error, const char *line), void *context)
{
    const struct trust_voice voice = {.complain = complain, .context = context};
    for (size_t i = 0; i < trust->num_entries; i++) {
        trust->entries[i].is_seen = false;
    }
    if (trust_look(trust, &voice)) {
        trust_drop_gone(trust, &voice);
        for (size_t i = 0; i < trust->num_entries; i++) {
            trust_refresh(trust, &trust->entries[i]);
        }
    }
    trust_judge_all(trust, local, &voice);
    return trust_give_out(trust);
}

size_t sg_trust_num_issuers(const struct sg_trust *trust)
{
    return trust->num_issuers;
}

struct sg_trust_issuer *sg_trust_issuer_at(const struct sg_trust *trust, size_t index)
{
    return index < trust->num_issuers ? trust->issuers[index] : NULL;
}
