//! The same application as every instance type that an SGX device has, from the request to the
//! vehicle's answer.

use std::{fs, path::PathBuf};

use stage::{Instance, Spec, Stage, User};

use crate::troupe::{Driver, assert_ride, open_stage, run, sequence};

#[test]
fn a_container_is_deployed_from_a_component_a_program_and_an_image() {
    let stage = open_stage!();
    let device = stage.device(&container("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let machine = std::env::consts::ARCH;
    let native = stage.programs.path(&format!("route-planner-{machine}"));
    for (name, content) in [
        ("of-component", Content::Module),
        ("of-program", Content::Program(native.clone())),
        ("of-image", Content::Image(native)),
    ] {
        let project = project(&stage, &user, name, "container", &content);

        let report = run(&stage, &user, &project, &device);

        let loaded = sequence(&report);
        assert!(loaded.contains(&"TA->ConfidentialContainer".to_owned()), "{loaded:?}");
        assert_ride(&stage, &user, &project, &Driver::ODA);
    }
}

#[test]
fn a_native_program_is_deployed_as_a_process() {
    let stage = open_stage!();
    let device = stage.device(&container("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let native = stage.programs.path(&format!("route-planner-{}", std::env::consts::ARCH));
    let project = project(&stage, &user, "native", "process", &Content::Program(native));

    run(&stage, &user, &project, &device);

    assert_ride(&stage, &user, &project, &Driver::ODA);
}

fn container(name: &str) -> Spec {
    Spec::sgx(name).with_instances(&[Instance::Process, Instance::Container])
}

enum Content {
    Module,
    Program(PathBuf),
    Image(PathBuf),
}

/// The sample's project with another content and another instance type.
fn project(stage: &Stage, user: &User, name: &str, instance: &str, content: &Content) -> PathBuf {
    let project = user.project(stage, name, &Driver::ODA.data()).unwrap();
    let member = match content {
        Content::Module => "module = \"route-planner.wasm\"".to_owned(),
        Content::Program(program) => format!("program = {program:?}"),
        Content::Image(program) => {
            let mut make = user.tamarack(stage);
            make.args(["package", "image", "--json", "--program"]).arg(program);
            let made = make.arg("--out").arg(project.with_file_name("ta.tar")).output().unwrap();
            assert!(made.status.success(), "{made:?}");
            "image = \"ta.tar\"".to_owned()
        }
    };
    let text = fs::read_to_string(&project).unwrap();
    let text = text
        .replace("instance = \"process\"", &format!("instance = \"{instance}\""))
        .replace("module = \"route-planner.wasm\"", &member);
    fs::write(&project, text).unwrap();
    project
}
