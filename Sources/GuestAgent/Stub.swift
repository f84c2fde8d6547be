// The guest's server.
