// An echo service on sd-bus, and a client that times calls: the floor of what a service on this bus can do.
//
//   bench_dbus serve ADDRESS
//   bench_dbus time ADDRESS COUNT DESTINATION PATH INTERFACE MEMBER [ARGUMENT]
//
// Without an argument MEMBER is a property; the program prints microseconds for each call.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

static int fail(const char *what, int code) {
    fprintf(stderr, "%s: %s\n", what, strerror(-code));
    return 1;
}

static sd_bus *open_bus(const char *address) {
    sd_bus *bus = NULL;
    if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_set_bus_client(bus, 1) < 0 ||
        sd_bus_start(bus) < 0)
        return NULL;
    return bus;
}

static int get_state(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *data, sd_bus_error *error) {
    (void)bus, (void)path, (void)interface, (void)property, (void)data, (void)error;
    return sd_bus_message_append(reply, "s", "Running");
}

static int echo(sd_bus_message *message, void *data, sd_bus_error *error) {
    (void)data, (void)error;
    const char *text;
    int code = sd_bus_message_read(message, "s", &text);
    if (code < 0) return code;
    return sd_bus_reply_method_return(message, "o", "/bench");
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("State", "s", get_state, 0, 0),
    SD_BUS_METHOD("Echo", "s", "o", echo, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static int serve(const char *address) {
    sd_bus *bus = open_bus(address);
    if (!bus) return fail("connect", -1);
    int code = sd_bus_add_object_vtable(bus, NULL, "/bench", "org.example.Bench1", vtable, NULL);
    if (code >= 0) code = sd_bus_request_name(bus, "org.example.Bench1", 0);
    if (code < 0) return fail("export", code);
    puts("ready");
    fflush(stdout);
    while (1) {
        code = sd_bus_process(bus, NULL);
        if (code < 0) return fail("process", code);
        if (code == 0) sd_bus_wait(bus, UINT64_MAX);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int measure(int count, char **words) {
    sd_bus *bus = open_bus(words[0]);
    if (!bus) return fail("connect", -1);
    const char *destination = words[2], *path = words[3], *interface = words[4], *member = words[5], *argument = words[6];
    double began = 0;
    // The first ones are not counted: whoever is called learns who calls.
    for (int number = -100; number < count; number++) {
        if (number == 0) began = now();
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        int code = argument ? sd_bus_call_method(bus, destination, path, interface, member, &error, &reply, "s", argument)
                            : sd_bus_call_method(bus, destination, path, "org.freedesktop.DBus.Properties", "Get", &error,
                                                 &reply, "ss", interface, member);
        if (code < 0) {
            fprintf(stderr, "%s\n", error.message ? error.message : strerror(-code));
            return 1;
        }
        sd_bus_message_unref(reply);
        sd_bus_error_free(&error);
    }
    printf("%.2f\n", (now() - began) / count);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "serve")) return serve(argv[2]);
    if (argc >= 8 && !strcmp(argv[1], "time")) return measure(atoi(argv[3]), argv + 2);
    fprintf(stderr, "usage: see the source\n");
    return 2;
}
