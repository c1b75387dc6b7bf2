// Cargo wants a target. The sources are in the dependencies.
