//! Runs the component of a Trusted Application, as the world of `wit/ta.wit` says.
//!
//! It knows WebAssembly and nothing else: no keys, no channel, no frames. The component gets no
//! imports, so what it can do is compute; time and memory for that are bounded here. A component
//! that traps is not asked again: its memory is in an unknown state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::{Component, Func, Linker, TypedFunc};
use wasmtime::{Config, Engine, Store, StoreLimits, StoreLimitsBuilder, Trap};
use zeroize::Zeroizing;

type Personalize<'a> = TypedFunc<(&'a [u8],), (Result<(), String>,)>;
type Serve<'a> = TypedFunc<(&'a [u8],), (Result<Vec<u8>, String>,)>;

/// What one Trusted Application may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of its linear memory.
    pub memory_bytes_max: usize,
    /// Milliseconds for one call.
    pub call_ms_max: u64,
    /// Whether the component is interpreted.
    pub interpret: bool,
}

/// Why a Trusted Application cannot go on.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are not a component that the engine can compile.
    #[error("the module is not a usable component")]
    NotAComponent,
    /// The component wants something from outside; there is nothing outside.
    #[error("the component imports `{0}`")]
    Imports(String),
    /// The component does not export the interface of the world.
    #[error("the component does not export `{APPLICATION}` with its two functions")]
    Exports,
    /// It could not be started within its memory.
    #[error("the component could not be started within its limits")]
    NotStarted,
    /// A call took longer than its budget.
    #[error("the call took longer than allowed")]
    Deadline,
    /// It trapped, for example by running out of its stack; or a program ended.
    #[error("the component trapped")]
    Trapped,
    /// The bytes are no static program for this machine.
    #[error("the program is not a static program for this machine")]
    NotAProgram,
    /// The program could not be started.
    #[error("the program could not be started")]
    NotExecuted,
    /// The isolation could not be set up.
    #[error("the isolation could not be set up")]
    NotIsolated,
}

/// A component as machine code, or as code of the interpreter.
pub struct Code {
    engine: Engine,
    component: Component,
}

impl Code {
    /// Compiles a component.
    pub fn compile(module: &[u8], interpret: bool) -> Result<Self, Fault> {
        let engine = engine(interpret)?;
        // What is code of this engine already is no component.
        if !module.starts_with(MODULE) {
            return Err(Fault::NotAComponent);
        }
        let component =
            Component::from_binary(&engine, module).map_err(|_| Fault::NotAComponent)?;
        Ok(Self { engine, component })
    }

    /// Takes code that this device made with [`Self::bytes`].
    pub(crate) fn load(code: &[u8], interpret: bool) -> Result<Self, Fault> {
        let engine = engine(interpret)?;
        let component = crate::sys::compiled(&engine, code).map_err(|_| Fault::NotAComponent)?;
        Ok(Self { engine, component })
    }

    /// The code, for the next start on this device.
    pub fn bytes(&self) -> Result<Vec<u8>, Fault> {
        self.component.serialize().map_err(|_| Fault::NotAComponent)
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(…)")
    }
}

/// A running Trusted Application.
pub struct Application {
    store: Store<StoreLimits>,
    personalize: Func,
    serve: Func,
    budget: Budget,
    _ticker: Ticker,
}

impl Application {
    /// Compiles and starts a component.
    pub fn start(module: &[u8], budget: Budget) -> Result<Self, Fault> {
        Self::of(&Code::compile(module, budget.interpret)?, budget)
    }

    /// Starts a component that is compiled.
    pub fn of(code: &Code, budget: Budget) -> Result<Self, Fault> {
        let Code { engine, component } = code;
        let ticker = Ticker::start(engine);
        if let Some((name, _)) = component.component_type().imports(engine).next() {
            return Err(Fault::Imports(name.to_owned()));
        }

        let limits = StoreLimitsBuilder::new()
            .memory_size(budget.memory_bytes_max)
            .memories(MEMORIES_MAX)
            .tables(TABLES_MAX)
            .table_elements(TABLE_ELEMENTS_MAX)
            .instances(INSTANCES_MAX)
            .build();
        let mut store = Store::new(engine, limits);
        store.limiter(|limits| limits);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(ticks(budget.call_ms_max));
        let instance = Linker::new(engine)
            .instantiate(&mut store, component)
            .map_err(|error| fault(&error, Fault::NotStarted))?;

        let application =
            instance.get_export_index(&mut store, None, APPLICATION).ok_or(Fault::Exports)?;
        let mut function = |name| {
            let index = instance.get_export_index(&mut store, Some(&application), name)?;
            instance.get_func(&mut store, index)
        };
        let personalize = function("personalize").ok_or(Fault::Exports)?;
        let serve = function("serve").ok_or(Fault::Exports)?;
        let _: Personalize<'_> = personalize.typed(&store).map_err(|_| Fault::Exports)?;
        let _: Serve<'_> = serve.typed(&store).map_err(|_| Fault::Exports)?;
        Ok(Self { store, personalize, serve, budget, _ticker: ticker })
    }

    /// Hands over Personalization Data. The inner error is the application's own refusal.
    pub fn personalize(&mut self, pd: &[u8]) -> Result<Result<(), String>, Fault> {
        self.store.set_epoch_deadline(ticks(self.budget.call_ms_max));
        let personalize: Personalize<'_> =
            self.personalize.typed(&self.store).map_err(|_| Fault::Exports)?;
        let called = personalize.call(&mut self.store, (pd,));
        let (outcome,) = called.map_err(|error| fault(&error, Fault::Trapped))?;
        Ok(outcome)
    }

    /// Asks for an answer. The inner error is the application's own refusal.
    pub fn serve(&mut self, request: &[u8]) -> Result<Result<Zeroizing<Vec<u8>>, String>, Fault> {
        self.store.set_epoch_deadline(ticks(self.budget.call_ms_max));
        let serve: Serve<'_> = self.serve.typed(&self.store).map_err(|_| Fault::Exports)?;
        let called = serve.call(&mut self.store, (request,));
        let (outcome,) = called.map_err(|error| fault(&error, Fault::Trapped))?;
        Ok(outcome.map(Zeroizing::new))
    }
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// Moves the engine's epoch, by which running code notices that its time is over.
struct Ticker(Arc<AtomicBool>);

impl Ticker {
    fn start(engine: &Engine) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, engine) = (Arc::clone(&stop), engine.weak());
        std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        });
        Self(stop)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An engine that needs no file and little address space.
fn engine(interpret: bool) -> Result<Engine, Fault> {
    let mut config = Config::new();
    if interpret {
        config.target(INTERPRETER).map_err(|_| Fault::NotStarted)?;
    }
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .memory_init_cow(false)
        .memory_reservation(RESERVATION_BYTES)
        .memory_reservation_for_growth(RESERVATION_BYTES)
        .memory_guard_size(GUARD_BYTES);
    Engine::new(&config).map_err(|_| Fault::NotStarted)
}

fn ticks(ms: u64) -> u64 {
    // One more than needed, because the first tick may come at once.
    ms.div_ceil(TICK.as_millis() as u64) + 1
}

fn fault(error: &wasmtime::Error, otherwise: Fault) -> Fault {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Fault::Deadline,
        Some(_) => Fault::Trapped,
        None => otherwise,
    }
}

/// The interface that a Trusted Application exports.
pub const APPLICATION: &str = "tamarack:ta/application";

/// Wasmtime's interpreter on machines of 64 bits, little-endian, as all of ours are.
const INTERPRETER: &str = "pulley64";
/// How WebAssembly in its binary form begins.
const MODULE: &[u8] = b"\0asm";
const GUARD_BYTES: u64 = 64 * 1024;
const INSTANCES_MAX: usize = 64;
const MEMORIES_MAX: usize = 8;
const RESERVATION_BYTES: u64 = 64 * 1024 * 1024;
const STACK_BYTES_MAX: usize = 512 * 1024;
const TABLES_MAX: usize = 64;
const TABLE_ELEMENTS_MAX: usize = 64 * 1024;
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::component;

    #[test]
    fn a_component_keeps_its_data_and_answers_with_it() {
        let mut application = Application::start(&component::echo(), BUDGET).unwrap();

        assert_eq!(application.personalize(b"data"), Ok(Ok(())));
        assert_eq!(application.serve(b"?").unwrap().unwrap().as_slice(), b"data?");
        assert_eq!(application.serve(b"!").unwrap().unwrap().as_slice(), b"data!");
    }

    #[test]
    fn code_that_was_made_before_and_code_that_is_interpreted_do_the_same() {
        for interpret in [false, true] {
            let budget = Budget { interpret, ..BUDGET };
            let code = Code::compile(&component::echo(), interpret).unwrap().bytes().unwrap();

            let code = Code::load(&code, interpret).unwrap();
            let mut application = Application::of(&code, budget).unwrap();

            assert_eq!(application.personalize(b"data"), Ok(Ok(())));
            assert_eq!(application.serve(b"?").unwrap().unwrap().as_slice(), b"data?");
        }
        let compiled = Code::compile(&component::echo(), false).unwrap().bytes().unwrap();
        assert_eq!(Code::compile(&compiled, false).unwrap_err(), Fault::NotAComponent);
        assert_eq!(Code::load(&compiled, true).unwrap_err(), Fault::NotAComponent);
    }

    #[test]
    fn an_interpreted_component_that_never_ends_is_stopped() {
        let budget = Budget { call_ms_max: 50, interpret: true, ..BUDGET };
        let mut application = Application::start(&component::looping(), budget).unwrap();

        assert_eq!(application.serve(b""), Err(Fault::Deadline));
    }

    #[test]
    fn a_refusal_of_the_component_is_not_a_fault() {
        let mut application = Application::start(&component::refusing(), BUDGET).unwrap();

        assert_eq!(application.personalize(b""), Ok(Err("no".to_owned())));
        assert_eq!(application.serve(b""), Ok(Err("no".to_owned())));
    }

    #[test]
    fn a_component_that_never_ends_is_stopped() {
        let budget = Budget { call_ms_max: 50, ..BUDGET };
        let mut application = Application::start(&component::looping(), budget).unwrap();

        assert_eq!(application.serve(b""), Err(Fault::Deadline));
    }

    #[test]
    fn a_component_that_never_ends_its_start_is_stopped() {
        let budget = Budget { call_ms_max: 50, ..BUDGET };

        let started = Application::start(&component::looping_at_start(), budget);

        assert_eq!(started.unwrap_err(), Fault::Deadline);
    }

    #[test]
    fn a_component_gets_no_more_memory_than_its_budget() {
        let mut application = Application::start(&component::growing(), BUDGET).unwrap();

        let pages = application.serve(b"").unwrap().unwrap();

        let pages = u32::from_le_bytes(pages.as_slice().try_into().unwrap());
        assert_eq!(pages as usize * 65536, BUDGET.memory_bytes_max);
    }

    #[test]
    fn a_component_that_asks_for_too_much_memory_is_not_started() {
        let budget = Budget { memory_bytes_max: 65536, ..BUDGET };

        let started = Application::start(&component::large(), budget);

        assert_eq!(started.unwrap_err(), Fault::NotStarted);
    }

    #[test]
    fn a_component_that_traps_or_recurses_for_ever_is_a_fault() {
        let mut application = Application::start(&component::trapping(), BUDGET).unwrap();
        assert_eq!(application.serve(b""), Err(Fault::Trapped));

        let mut application = Application::start(&component::recursing(), BUDGET).unwrap();
        assert_eq!(application.serve(b""), Err(Fault::Trapped));
    }

    #[test]
    fn a_component_that_imports_is_refused() {
        let started = Application::start(&component::importing(), BUDGET);

        assert_eq!(started.unwrap_err(), Fault::Imports("wasi:cli/environment@0.2.0".to_owned()));
    }

    #[test]
    fn what_is_not_a_trusted_application_is_refused() {
        for (module, fault) in [
            (b"not wasm".to_vec(), Fault::NotAComponent),
            (wat::parse_str("(module)").unwrap(), Fault::NotAComponent),
            (wat::parse_str("(component)").unwrap(), Fault::Exports),
        ] {
            assert_eq!(Application::start(&module, BUDGET).unwrap_err(), fault);
        }
    }

    const BUDGET: Budget =
        Budget { memory_bytes_max: 4 * 1024 * 1024, call_ms_max: 10_000, interpret: false };
}
