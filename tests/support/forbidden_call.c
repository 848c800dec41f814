/* SPDX-License-Identifier: Apache-2.0
 *
 * Linked into the real programs, besides all that they have: on SIGUSR1 the process makes the system call
 * whose number came with the signal (sigqueue), with arguments that make it harmless, and says on its
 * standard error what came of it. Nothing else about the programs differs.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* Async-signal-safe, as everything here. */
static size_t forbidden_put(char *text, const char *word, long number)
{
    char digits[24];
    size_t num_digits = 0;
    size_t len = 0;
    while (word[len] != '\0') {
        text[len] = word[len];
        len++;
    }
    do {
        digits[num_digits++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (num_digits > 0) {
        text[len++] = digits[--num_digits];
    }
    return len;
}

static void forbidden_make(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    char line[128];
    int saved = errno;
    errno = 0;
    long result = syscall(info->si_value.sival_int, 0, 0, 0, 0, 0, 0);
    size_t len = forbidden_put(line, "system call ", info->si_value.sival_int);
    len += forbidden_put(line + len, " gave error ", result < 0 ? errno : 0);
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
    errno = saved;
}

static void __attribute__((constructor)) forbidden_install(void)
{
    struct sigaction action = {.sa_sigaction = forbidden_make, .sa_flags = SA_SIGINFO | SA_RESTART};
    if (sigaction(SIGUSR1, &action, NULL) != 0) {
        abort(); /* without it, nothing would be tested */
    }
}
