//! `/livez`, `/readyz` and `/metrics` for services that are streamherd workers.
