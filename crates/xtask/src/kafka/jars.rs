//! Apache Kafka's jars from Maven Central, copied to `target/kafka`, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{machine, process, workspace};

/// The version that the compose file runs too.
pub const VERSION: &str = "4.3.1";

/// `kafka.Kafka` and `kafka.tools.StorageTool` are both in `kafka_2.13`; slf4j-simple writes the
/// broker's log to standard error without a configuration file.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
 <modelVersion>4.0.0</modelVersion>
 <groupId>local</groupId><artifactId>kafka-broker</artifactId><version>1</version>
 <packaging>pom</packaging>
 <dependencies>
  <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
   <version>@VERSION@</version></dependency>
  <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
   <version>1.7.36</version></dependency>
 </dependencies>
</project>
"#;

pub(super) fn dir() -> PathBuf {
    workspace::target().join("kafka")
}

/// Java's class path of the fetched jars.
pub(super) fn class_path() -> String {
    format!("{}/*", dir().join("jars").display())
}

/// Makes sure of Java and of the jars; fetches what is not there. Returns the jars' folder.
pub fn fetch() -> Result<PathBuf> {
    let jars = dir().join("jars");
    machine::ensure(machine::KAFKA, &["java"], &["openjdk-17-jre-headless"])?;
    if is_complete(&jars) {
        return Ok(jars);
    }
    machine::ensure(machine::KAFKA, &["mvn"], &["maven"])?;
    fs::create_dir_all(&jars)?;
    let pom = dir().join("pom.xml");
    fs::write(&pom, POM.replace("@VERSION@", VERSION))?;
    eprintln!("xtask: fetching Apache Kafka {VERSION} from Maven");
    let mut mvn = Command::new("mvn");
    mvn.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    mvn.arg("-DincludeScope=runtime").arg(format!("-DoutputDirectory={}", jars.display()));
    if let Err(error) = process::run_quiet(&mut mvn) {
        let mend = "let Maven reach repo.maven.apache.org, or set KAFKA_BOOTSTRAP to a broker";
        let reason = format!("Maven failed: {error:#}");
        return Err(machine::Missing::new(machine::KAFKA, reason, mend).into());
    }
    fs::write(marker(&jars), VERSION).context("failed to mark the jars as complete")?;
    Ok(jars)
}

/// Maven copies one jar after the other: only the marker says that the last one came.
fn is_complete(jars: &Path) -> bool {
    fs::read_to_string(marker(jars)).is_ok_and(|version| version == VERSION)
}

fn marker(jars: &Path) -> PathBuf {
    jars.join(".complete")
}
