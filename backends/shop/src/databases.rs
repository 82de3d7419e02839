//! Where the services keep their data: a file each in one directory, or a database each on one
//! PostgreSQL server. They share nothing but the place.

use shop_platform::StartError;

/// Gives each service the URL of its own database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Databases {
    /// `DIRECTORY/NAME.db`.
    Sqlite { directory: String },
    /// `PREFIXshop_NAMESUFFIX`: the server, and what follows the database's name.
    Postgres { server: String, parameters: String },
}

impl Databases {
    /// Reads `sqlite:DIRECTORY` or `postgres://USER:PASSWORD@HOST:PORT`, the latter without a
    /// database's name: those are ours.
    pub(crate) fn try_new(text: &str) -> Result<Self, StartError> {
        let reason = "must be sqlite:DIRECTORY, or postgres://USER:PASSWORD@HOST:PORT without a \
                      database's name";
        let wrong = StartError::Option { option: "databases", reason };
        if let Some(directory) = text.strip_prefix("sqlite:") {
            let directory = directory.trim_end_matches('/');
            return match directory {
                "" | ":memory:" => Err(wrong),
                directory => Ok(Self::Sqlite { directory: directory.to_owned() }),
            };
        }
        let is_postgres = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme).map(|rest| (scheme, rest)));
        let Some((scheme, rest)) = is_postgres else { return Err(wrong) };
        let (server, parameters) = match rest.find('?') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let server = server.strip_suffix('/').unwrap_or(server);
        if server.is_empty() || server.contains('/') {
            return Err(wrong);
        }
        Ok(Self::Postgres {
            server: format!("{scheme}{server}"),
            parameters: parameters.to_owned(),
        })
    }

    pub(crate) fn of(&self, service: &str) -> String {
        match self {
            Self::Sqlite { directory } => format!("sqlite:{directory}/{service}.db"),
            Self::Postgres { server, parameters } => format!("{server}/shop_{service}{parameters}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_a_database_of_its_own() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Databases::try_new(text).unwrap().of("users"), expected);
        };
        check("sqlite:data", "sqlite:data/users.db");
        check("sqlite:/var/lib/shop/", "sqlite:/var/lib/shop/users.db");
        check("postgres://shop:secret@db:5432", "postgres://shop:secret@db:5432/shop_users");
        check("postgresql://db/", "postgresql://db/shop_users");
        check("postgres://db/?sslmode=require", "postgres://db/shop_users?sslmode=require");
        check("postgres://db?sslmode=require", "postgres://db/shop_users?sslmode=require");
        for text in ["", "data", "sqlite:", "sqlite:/", "sqlite::memory:", "postgres://"] {
            assert!(Databases::try_new(text).unwrap_err().is_usage(), "{text:?}");
        }
        for text in ["postgres:///", "postgres://db/shop", "mysql://db", "postgres://?a=b"] {
            assert!(Databases::try_new(text).unwrap_err().is_usage(), "{text:?}");
        }
    }
}
