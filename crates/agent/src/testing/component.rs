//! Components in text, so that the tests need no WebAssembly toolchain.

/// Keeps its data and answers with data and request, one after the other.
pub(crate) fn echo() -> Vec<u8> {
    assemble(
        "",
        "(func (export \"personalize\") (param $at i32) (param $length i32) (result i32)
            (global.set $data (local.get $at))
            (global.set $data_length (local.get $length))
            (i32.store8 (i32.const 0) (i32.const 0))
            (i32.const 0))
        (func (export \"serve\") (param $at i32) (param $length i32) (result i32)
            (local $answer i32) (local $answer_length i32)
            (local.set $answer_length
                (i32.add (global.get $data_length) (local.get $length)))
            (local.set $answer (call $allocate (local.get $answer_length)))
            (memory.copy
                (local.get $answer) (global.get $data) (global.get $data_length))
            (memory.copy
                (i32.add (local.get $answer) (global.get $data_length))
                (local.get $at) (local.get $length))
            (call $ok (local.get $answer) (local.get $answer_length)))",
    )
}

/// Says no to everything.
pub(crate) fn refusing() -> Vec<u8> {
    const NO: &str = "(param i32 i32) (result i32)
            (i32.store8 (i32.const 0) (i32.const 1))
            (i32.store8 (i32.const 32) (i32.const 110))
            (i32.store8 (i32.const 33) (i32.const 111))
            (i32.store (i32.const 4) (i32.const 32))
            (i32.store (i32.const 8) (i32.const 2))
            (i32.const 0)";
    assemble("", &format!("(func (export \"personalize\") {NO}) (func (export \"serve\") {NO})"))
}

/// Never comes back from a request.
pub(crate) fn looping() -> Vec<u8> {
    serving("(loop $for_ever (br $for_ever)) (unreachable)")
}

/// Never comes back from its start.
pub(crate) fn looping_at_start() -> Vec<u8> {
    assemble(
        "(func $begin (loop $for_ever (br $for_ever))) (start $begin)",
        &format!(
            "{ACCEPTING} (func (export \"serve\") (param i32 i32) (result i32) (i32.const 0))"
        ),
    )
}

/// Takes all memory it can get and answers with the number of its pages.
pub(crate) fn growing() -> Vec<u8> {
    serving(
        "(loop $more
            (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (i32.store (i32.const 32) (memory.size))
        (call $ok (i32.const 32) (i32.const 4))",
    )
}

/// Wants 16 MiB from the beginning.
pub(crate) fn large() -> Vec<u8> {
    assemble(
        "(memory $large 256)",
        &format!(
            "{ACCEPTING} (func (export \"serve\") (param i32 i32) (result i32) (i32.const 0))"
        ),
    )
}

/// Traps at a request.
pub(crate) fn trapping() -> Vec<u8> {
    serving("(unreachable)")
}

/// Calls itself for ever.
pub(crate) fn recursing() -> Vec<u8> {
    assemble(
        "(func $deeper (param i32) (result i32)
            (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))",
        &format!(
            "{ACCEPTING} (func (export \"serve\") (param i32 i32) (result i32)
                (call $deeper (i32.const 0)))"
        ),
    )
}

/// Wants the environment.
pub(crate) fn importing() -> Vec<u8> {
    wat::parse_str(
        "(component
            (import \"wasi:cli/environment@0.2.0\" (instance
                (export \"get-environment\" (func (result (list string)))))))",
    )
    .unwrap()
}

fn serving(body: &str) -> Vec<u8> {
    assemble(
        "",
        &format!("{ACCEPTING} (func (export \"serve\") (param i32 i32) (result i32) {body})"),
    )
}

/// Puts the two functions, and what they call, into a component of the world.
///
/// A result is at address 0: one byte says whether it is an error, 4 and 8 hold the list.
fn assemble(more: &str, functions: &str) -> Vec<u8> {
    wat::parse_str(format!(
        "(component
            (core module $code
                (memory (export \"memory\") 1)
                (global $data (mut i32) (i32.const 0))
                (global $data_length (mut i32) (i32.const 0))
                (global $next (mut i32) (i32.const 1024))
                (func $allocate (param $length i32) (result i32)
                    (local $at i32)
                    (local.set $at (global.get $next))
                    (global.set $next (i32.add (local.get $at) (local.get $length)))
                    (block $done
                        (loop $more
                            (br_if $done (i32.le_u (global.get $next)
                                (i32.mul (memory.size) (i32.const 65536))))
                            (br_if $more (i32.ne
                                (memory.grow (i32.const 1)) (i32.const -1)))
                            (unreachable)))
                    (local.get $at))
                (func (export \"allocate\")
                        (param i32 i32 i32) (param $length i32) (result i32)
                    (call $allocate (local.get $length)))
                (func $ok (param $at i32) (param $length i32) (result i32)
                    (i32.store8 (i32.const 0) (i32.const 0))
                    (i32.store (i32.const 4) (local.get $at))
                    (i32.store (i32.const 8) (local.get $length))
                    (i32.const 0))
                {more}
                {functions})
            (core instance $code (instantiate $code))
            (type $personalize (func (param \"pd\" (list u8)) (result (result (error string)))))
            (type $serve (func (param \"request\" (list u8))
                (result (result (list u8) (error string)))))
            (func $personalize (type $personalize) (canon lift
                (core func $code \"personalize\")
                (memory (core memory $code \"memory\"))
                (realloc (core func $code \"allocate\"))))
            (func $serve (type $serve) (canon lift
                (core func $code \"serve\")
                (memory (core memory $code \"memory\"))
                (realloc (core func $code \"allocate\"))))
            (instance $application
                (export \"personalize\" (func $personalize))
                (export \"serve\" (func $serve)))
            (export \"tamarack:ta/application\" (instance $application)))"
    ))
    .unwrap()
}

const ACCEPTING: &str = "(func (export \"personalize\") (param i32 i32) (result i32)
            (i32.store8 (i32.const 0) (i32.const 0))
            (i32.const 0))";
