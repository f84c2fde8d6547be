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
        return migrator
    }
}
