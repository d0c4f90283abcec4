mod smoke;
mod tls;
