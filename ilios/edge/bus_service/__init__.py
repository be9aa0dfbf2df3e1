"""The NATS service `ilios`: requests on the bus, with the answers of the HTTP interface."""
