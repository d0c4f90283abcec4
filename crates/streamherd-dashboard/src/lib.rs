//! A dashboard and a REST API for streamherd.
