mod refused_rights;
mod secrets;
mod smoke;
mod tls;
