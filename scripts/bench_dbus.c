// An echo service on sd-bus, and a client that times calls: the floor of what a service on this bus can do.
//
//   bench_dbus serve ADDRESS
//   bench_dbus time ADDRESS COUNT DESTINATION PATH INTERFACE MEMBER [ARGUMENT]
//   bench_dbus managed ADDRESS COUNT DESTINATION PATH OBJECTS
//
// Without an argument MEMBER is a property; `managed` asks an object manager for everything, OBJECTS objects at least. The
// program prints microseconds for each call.

#define _GNU_SOURCE
#include <stdint.h>
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

#define MANY 1000

// A property of each type that an instance's object has, and as many of them.
static int get_any(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                   void *data, sd_bus_error *error) {
    (void)bus, (void)path, (void)interface, (void)data, (void)error;
    const char *type = strchr(property, '_') + 1;
    if (!strcmp(type, "s")) return sd_bus_message_append(reply, "s", "a text of some length");
    if (!strcmp(type, "o")) return sd_bus_message_append(reply, "o", "/");
    if (!strcmp(type, "u")) return sd_bus_message_append(reply, "u", 2u);
    if (!strcmp(type, "i")) return sd_bus_message_append(reply, "i", -1);
    if (!strcmp(type, "b")) return sd_bus_message_append(reply, "b", 0);
    if (!strcmp(type, "t")) return sd_bus_message_append(reply, "t", (uint64_t)1 << 30);
    if (!strcmp(type, "as")) return sd_bus_message_append(reply, "as", 2, "sleep", "1000");
    if (!strcmp(type, "ass")) return sd_bus_message_append(reply, "a{ss}", 0);
    if (!strcmp(type, "aqqs")) return sd_bus_message_append(reply, "a(qqs)", 0);
    return sd_bus_message_append(reply, "a(osbt)", 0);
}

#define ANY(number, word, type) SD_BUS_PROPERTY("P" #number "_" word, type, get_any, 0, 0)
#define TEXT(number) ANY(number, "s", "s")
#define COUNT(number) ANY(number, "u", "u")
#define SIZE(number) ANY(number, "t", "t")
#define FLAG(number) ANY(number, "b", "b")
static const sd_bus_vtable many[] = {
    SD_BUS_VTABLE_START(0),
    TEXT(1), TEXT(2), TEXT(3), TEXT(4), TEXT(5), TEXT(6), TEXT(7), TEXT(8), TEXT(9), TEXT(10), TEXT(11), TEXT(12),
    TEXT(13), TEXT(14), COUNT(15), COUNT(16), COUNT(17), COUNT(18), SIZE(19), SIZE(20), SIZE(21), SIZE(22), SIZE(23),
    SIZE(24), SIZE(25), SIZE(26), FLAG(27), FLAG(28), FLAG(29), ANY(30, "as", "as"), ANY(31, "as", "as"),
    ANY(32, "ass", "a{ss}"), ANY(33, "aqqs", "a(qqs)"), ANY(34, "aosbt", "a(osbt)"), ANY(35, "i", "i"),
    ANY(36, "o", "o"),
    SD_BUS_VTABLE_END,
};

static int find_many(sd_bus *bus, const char *path, const char *interface, void *data, void **found,
                     sd_bus_error *error) {
    (void)bus, (void)path, (void)interface, (void)error;
    *found = data;
    return 1;
}

static int list_many(sd_bus *bus, const char *prefix, void *data, char ***nodes, sd_bus_error *error) {
    (void)bus, (void)prefix, (void)data, (void)error;
    char **list = calloc(MANY + 1, sizeof *list);
    if (!list) return -12;
    for (int number = 0; number < MANY; number++)
        if (asprintf(&list[number], "/many/instance%d", number) < 0) return -12;
    *nodes = list;
    return 1;
}

static int serve(const char *address) {
    sd_bus *bus = open_bus(address);
    if (!bus) return fail("connect", -1);
    int code = sd_bus_add_object_vtable(bus, NULL, "/bench", "org.example.Bench1", vtable, NULL);
    if (code >= 0) code = sd_bus_add_fallback_vtable(bus, NULL, "/many", "org.example.Many1", many, find_many, bus);
    if (code >= 0) code = sd_bus_add_node_enumerator(bus, NULL, "/many", list_many, NULL);
    if (code >= 0) code = sd_bus_add_object_manager(bus, NULL, "/many");
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

static int count_objects(sd_bus_message *reply) {
    int count = 0, code = sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}");
    while (code >= 0 && (code = sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}")) > 0) {
        count++;
        code = sd_bus_message_skip(reply, "oa{sa{sv}}");
        if (code >= 0) code = sd_bus_message_exit_container(reply);
    }
    return code < 0 ? code : count;
}

static int managed(int count, char **words) {
    sd_bus *bus = open_bus(words[0]);
    if (!bus) return fail("connect", -1);
    double began = 0;
    for (int number = -3; number < count; number++) {
        if (number == 0) began = now();
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        int code = sd_bus_call_method(bus, words[2], words[3], "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                                      &error, &reply, "");
        if (code >= 0 && number < 0) {
            code = count_objects(reply);
            if (code >= 0 && code < atoi(words[4])) {
                fprintf(stderr, "%d objects are there, not %s\n", code, words[4]);
                return 1;
            }
        }
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
    if (argc == 7 && !strcmp(argv[1], "managed")) return managed(atoi(argv[3]), argv + 2);
    fprintf(stderr, "usage: see the source\n");
    return 2;
}
