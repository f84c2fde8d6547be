// hypeman-exec FILE: becomes the program that FILE describes; what hypeman-vm@.service and hypeman-dnsmasq@.service run.
//
// The agent writes the file, and this process reads it as the user, and within the mounts and limits, that the unit gave
// it: whatever the file says can do no more than the unit allows. It is a list of texts, each ended by a NUL, whose first
// byte says what the rest is:
//   o  the file that stdout and stderr are appended to      d  the working directory
//   x  the program                                          a  an argument, from the program's own name on
//   e  NAME=value of its environment, which is the whole of it
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { limit = 1 << 20, exit_bad_usage = 64, exit_bad_data = 65, exit_no_program = 127 };

static _Noreturn void fail(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("hypeman-exec: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(code);
}

// The file's bytes with a NUL behind the last.
static char *contents(const char *path, size_t *length) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) fail(exit_bad_data, "cannot open %s: %s", path, strerror(errno));
    char *bytes = malloc(limit + 1);
    if (!bytes) fail(exit_bad_data, "out of memory");
    *length = 0;
    for (;;) {
        ssize_t count = read(file, bytes + *length, limit + 1 - *length);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail(exit_bad_data, "cannot read %s: %s", path, strerror(errno));
        if (count == 0) break;
        *length += (size_t)count;
        if (*length > limit) fail(exit_bad_data, "%s is larger than %d bytes", path, limit);
    }
    close(file);
    if (*length == 0 || bytes[*length - 1] != 0) fail(exit_bad_data, "%s does not end with a NUL", path);
    return bytes;
}

int main(int argc, char *argv[]) {
    if (argc != 2) fail(exit_bad_usage, "usage: hypeman-exec FILE");
    size_t length;
    char *bytes = contents(argv[1], &length);

    // Fewer than one text in two bytes.
    char **arguments = calloc(length / 2 + 1, sizeof *arguments), **environment = calloc(length / 2 + 1, sizeof *environment);
    if (!arguments || !environment) fail(exit_bad_data, "out of memory");
    size_t argument_count = 0, environment_count = 0;
    const char *program = NULL, *directory = NULL, *output = NULL;
    for (char *text = bytes; text < bytes + length; text += strlen(text) + 1) {
        char *value = text + 1;
        switch (*text) {
        case 'o': output = value; break;
        case 'd': directory = value; break;
        case 'x': program = value; break;
        case 'a': arguments[argument_count++] = value; break;
        case 'e': environment[environment_count++] = value; break;
        default: fail(exit_bad_data, "%s: a text begins with %#x", argv[1], (unsigned char)*text);
        }
    }
    if (!program || !directory || !output || argument_count == 0)
        fail(exit_bad_data, "%s lacks the program, its arguments, its directory or its output", argv[1]);

    if (chdir(directory) < 0) fail(exit_bad_data, "cannot go to %s: %s", directory, strerror(errno));
    // The agent has made it, and empties it when it has become large.
    int file = open(output, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0) fail(exit_bad_data, "cannot open %s: %s", output, strerror(errno));
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int journal = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(file, 1) < 0 || dup2(file, 2) < 0)
        fail(exit_bad_data, "cannot lay out descriptors: %s", strerror(errno));
    if (journal >= 0) close_range(journal + 1, ~0u, CLOSE_RANGE_CLOEXEC);

    execve(program, arguments, environment);
    int error = errno;
    // To the file, where the agent looks, and to the journal.
    dprintf(2, "hypeman-exec: cannot execute %s: %s\n", program, strerror(error));
    if (journal >= 0) dprintf(journal, "hypeman-exec: cannot execute %s: %s\n", program, strerror(error));
    return exit_no_program;
}
