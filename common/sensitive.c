/* SPDX-License-Identifier: Apache-2.0
 *
 * Words of secrets, and card numbers. Allocates nothing.
 */
#include "common/sensitive.h"

#include <stdint.h>
#include <string.h>

/* ---- Names ---- */

/* Longer names are judged by their end, which is what counts. */
#define SENSITIVE_MAX_NAME 64u
#define SENSITIVE_MIN_WORD 3u /* the shortest of the list */

/* Where a word of the list may begin within a name. */
enum sensitive_place {
    SENSITIVE_ANYWHERE = 1, /* no other word ends like this: "userpassword" */
    SENSITIVE_AT_WORD,      /* at one of the name's words: "user_ssn", not "kissn" */
    SENSITIVE_ALONE         /* it is the whole name: too common within others */
};

#define SENSITIVE_WORD(text, place)                                                                \
    {                                                                                              \
        text, sizeof(text) - 1, place                                                              \
    }

static const struct sensitive_word {
    const char *text;
    size_t len;
    enum sensitive_place place;
} sensitive_words[] = {
    SENSITIVE_WORD("password", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("passwd", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("passphrase", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("passcode", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("pwd", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("passwordhash", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("passwdhash", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("pwdhash", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("hashedpassword", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("secret", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("secretkey", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("secretaccesskey", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("accesskey", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("privatekey", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("apikey", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("masterkey", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("presharedkey", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("psk", SENSITIVE_ALONE),
    SENSITIVE_WORD("accesstoken", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("refreshtoken", SENSITIVE_ANYWHERE),
    SENSITIVE_WORD("apitoken", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("bearertoken", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("credential", SENSITIVE_ALONE),
    SENSITIVE_WORD("logincredential", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("usercredential", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("seedphrase", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("recoveryphrase", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("recoverycode", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("creditcard", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("creditcardnumber", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("debitcard", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("cardnumber", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("cvv", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("cvc", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("cardsecuritycode", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("pin", SENSITIVE_ALONE), /* "pincode" is a postal code in India */
    SENSITIVE_WORD("pinnumber", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("userpin", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("cardpin", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("ssn", SENSITIVE_AT_WORD),
    SENSITIVE_WORD("socialsecuritynumber", SENSITIVE_AT_WORD),
};

/* A name with nothing between its words. */
struct sensitive_plain {
    char text[SENSITIVE_MAX_NAME]; /* lower case */
    uint64_t starts;               /* bit i: a word begins at text[i] */
    size_t len;
    bool is_whole; /* nothing was left out at the front */
};

static bool sensitive_is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool sensitive_is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool sensitive_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool sensitive_is_alnum(char c)
{
    return sensitive_is_upper(c) || sensitive_is_lower(c) || sensitive_is_digit(c);
}

/* Whether a word begins at name[at]: behind a separator, as in "api_key", or at a capital letter, as in
 * "apiKey" and "APIKey". */
static bool sensitive_begins_word(const char *name, size_t at)
{
    if (at == 0 || !sensitive_is_alnum(name[at - 1])) {
        return true;
    }
    if (!sensitive_is_upper(name[at])) {
        return false;
    }
    return !sensitive_is_upper(name[at - 1]) || sensitive_is_lower(name[at + 1]);
}

static void sensitive_make_plain(const char *name, size_t len, struct sensitive_plain *plain)
{
    size_t begin = len > SENSITIVE_MAX_NAME ? len - SENSITIVE_MAX_NAME : 0;
    plain->starts = 0;
    plain->len = 0;
    plain->is_whole = begin == 0;
    for (size_t i = begin; i < len; i++) {
        if (!sensitive_is_alnum(name[i])) {
            plain->is_whole = plain->is_whole && (name[i] & 0x80) == 0;
            continue;
        }
        if (sensitive_begins_word(name, i)) {
            plain->starts |= UINT64_C(1) << plain->len;
        }
        plain->text[plain->len++] =
            (char)(sensitive_is_upper(name[i]) ? name[i] - 'A' + 'a' : name[i]);
    }
}

/* Whether the first len bytes of the name end with a word of the list. */
static bool sensitive_ends_with_word(const struct sensitive_plain *plain, size_t len)
{
    if (len < SENSITIVE_MIN_WORD) {
        return false;
    }
    for (size_t i = 0; i < sizeof(sensitive_words) / sizeof(sensitive_words[0]); i++) {
        const struct sensitive_word *word = &sensitive_words[i];
        /* Two letters tell most words apart, and cost little. */
        if (memcmp(plain->text + len - 2, word->text + word->len - 2, 2) != 0 || word->len > len ||
            memcmp(plain->text + len - word->len, word->text, word->len) != 0) {
            continue;
        }
        size_t at = len - word->len;
        if (word->place == SENSITIVE_ANYWHERE ||
            (word->place == SENSITIVE_AT_WORD && (plain->starts >> at & 1) != 0) ||
            (word->place == SENSITIVE_ALONE && at == 0 && plain->is_whole)) {
            return true;
        }
    }
    return false;
}

bool sg_sensitive_name(const char *name)
{
    struct sensitive_plain plain;
    sensitive_make_plain(name, strlen(name), &plain);
    size_t len = plain.len;
    while (len > 0 && sensitive_is_digit(plain.text[len - 1])) {
        len--; /* "password2", "cvv2" */
    }
    return sensitive_ends_with_word(&plain, len) ||
           (len > 0 && plain.text[len - 1] == 's' && sensitive_ends_with_word(&plain, len - 1));
}

/* ---- Card numbers ---- */

#define SENSITIVE_MIN_DIGITS 13u
#define SENSITIVE_MAX_DIGITS 19u

/* How numbers begin, by their first four digits, and the numbers of digits that they have. */
static const struct sensitive_brand {
    unsigned short from, to;
    unsigned lengths; /* bit n: n digits */
} sensitive_brands[] = {
    {2221, 2720, 1u << 16},                                  /* Mastercard */
    {3000, 3059, 1u << 14},                                  /* Diners Club */
    {3400, 3499, 1u << 15},                                  /* American Express */
    {3528, 3589, 1u << 16},                                  /* JCB */
    {3600, 3699, 1u << 14},                                  /* Diners Club */
    {3700, 3799, 1u << 15},                                  /* American Express */
    {3800, 3999, 1u << 14},                                  /* Diners Club */
    {4000, 4999, 1u << 13 | 1u << 16 | 1u << 19},            /* Visa */
    {5018, 5018, 1u << 16 | 1u << 18 | 1u << 19},            /* Maestro */
    {5020, 5020, 1u << 16 | 1u << 18 | 1u << 19},            /* Maestro */
    {5038, 5038, 1u << 16 | 1u << 18 | 1u << 19},            /* Maestro */
    {5100, 5599, 1u << 16},                                  /* Mastercard */
    {6011, 6011, 1u << 16 | 1u << 19},                       /* Discover */
    {6200, 6299, 1u << 16 | 1u << 17 | 1u << 18 | 1u << 19}, /* UnionPay */
    {6304, 6304, 1u << 16 | 1u << 18 | 1u << 19},            /* Maestro */
    {6440, 6599, 1u << 16 | 1u << 19},                       /* Discover */
    {6759, 6763, 1u << 16 | 1u << 18 | 1u << 19},            /* Maestro */
};

/* The digits of text without what separates them; 0: it is something else, or too many or few. */
static size_t sensitive_digits(const char *text, size_t len, unsigned char *digits)
{
    size_t num = 0;
    bool separated = true; /* none may come first */
    for (size_t i = 0; i < len; i++) {
        if (sensitive_is_digit(text[i])) {
            if (num == SENSITIVE_MAX_DIGITS) {
                return 0;
            }
            digits[num++] = (unsigned char)(text[i] - '0');
            separated = false;
        } else if ((text[i] == ' ' || text[i] == '-') && !separated) {
            separated = true;
        } else {
            return 0;
        }
    }
    return num >= SENSITIVE_MIN_DIGITS && !separated ? num : 0;
}

static bool sensitive_luhn(const unsigned char *digits, size_t num)
{
    unsigned sum = 0;
    for (size_t i = 0; i < num; i++) {
        unsigned digit = digits[num - 1 - i];
        if (i % 2 == 1) {
            digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
        }
        sum += digit;
    }
    return sum % 10 == 0;
}

bool sg_sensitive_is_card_number(const char *text, size_t len)
{
    unsigned char digits[SENSITIVE_MAX_DIGITS];
    size_t num = sensitive_digits(text, len, digits);
    if (num == 0) {
        return false;
    }
    unsigned first = digits[0] * 1000u + digits[1] * 100u + digits[2] * 10u + digits[3];
    for (size_t i = 0; i < sizeof(sensitive_brands) / sizeof(sensitive_brands[0]); i++) {
        const struct sensitive_brand *brand = &sensitive_brands[i];
        if (first >= brand->from && first <= brand->to) {
            return (brand->lengths >> num & 1) != 0 && sensitive_luhn(digits, num);
        }
    }
    return false;
}
