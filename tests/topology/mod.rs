mod admin;
mod doctor;
mod durability;
mod refused_rights;
mod secrets;
mod smoke;
mod tls;
