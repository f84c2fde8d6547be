import GRDB

/// The tables, as the steps that lead to them.
///
/// A step that was released is never changed.
enum Schema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1: instances, images, operations, resources, events") { database in
            try database.create(table: "instance", options: .strict) { table in
                table.primaryKey("id", .text)
                table.column("name", .text).notNull().unique()
                table.column("body", .blob).notNull()
            }
            try database.create(table: "image", options: .strict) { table in
                table.primaryKey("name", .text)
                table.column("digest", .text).notNull().indexed()
                table.column("body", .blob).notNull()
            }
            try database.create(table: "operation", options: .strict) { table in
                table.primaryKey("id", .text)
                table.column("instance", .text).notNull().indexed()
                table.column("final", .integer).notNull()
                table.column("body", .blob).notNull()
            }
            try database.create(table: "resource", options: .strict) { table in
                table.column("owner", .text).notNull()
                table.column("kind", .text).notNull()
                table.column("value", .text).notNull()
                table.column("body", .blob).notNull()
                table.primaryKey(["owner", "kind", "value"])
            }
            try database.create(table: "event", options: .strict) { table in
                table.autoIncrementedPrimaryKey("sequence")
                table.column("body", .blob).notNull()
            }
            try database.create(table: "setting", options: .strict) { table in
                table.primaryKey("name", .text)
                table.column("value", .text).notNull()
            }
        }
        migrator.registerMigration("2: addresses, devices and ports are unique", migrate: addNetworks)
        migrator.registerMigration("3: snapshots") { database in
            try database.create(table: "snapshot", options: .strict) { table in
                table.primaryKey("id", .text)
                table.column("name", .text).unique()
                table.column("body", .blob).notNull()
            }
        }
        migrator.registerMigration("4: volumes") { database in
            try database.create(table: "volume", options: .strict) { table in
                table.primaryKey("id", .text)
                table.column("name", .text).notNull().unique()
                table.column("body", .blob).notNull()
            }
        }
        return migrator
    }

    private static func addNetworks(_ database: Database) throws {
        try database.alter(table: "instance") { table in
            table.add(column: "network", .text)
            table.add(column: "address", .integer)
            table.add(column: "tap", .text)
        }
        // SQLite takes NULLs, of instances without a network, for different from one another.
        try database.create(indexOn: "instance", columns: ["network", "address"], options: .unique)
        try database.create(indexOn: "instance", columns: ["tap"], options: .unique)
        try database.create(table: "published_port", options: .strict) { table in
            table.column("transport", .text).notNull()
            table.column("host_port", .integer).notNull()
            table.column("instance", .text).notNull().indexed().references("instance", onDelete: .cascade)
            table.primaryKey(["transport", "host_port"])
        }
    }
}
