use wgrad::backend::{Backend, cpu::Cpu};
use wgrad::data::*; use wgrad::matrix::Matrix; use wgrad::spec::PlanKind; use wgrad::*;
use std::time::Instant;
fn main(){
 let which = std::env::args().nth(1).unwrap_or("SMTHL".into());
 let threads: usize = std::env::args().nth(2).map_or(2,|t|t.parse().unwrap());
 for (name, widths, batch, classes, rows) in [("S64",vec![784,128,10],64,true,20000),("S128",vec![784,128,10],128,true,20000),("M",vec![784,1024,1024,10],256,true,10240),("T",vec![32,64,64,64,64,16],16384,false,65536),("H",vec![13,512,256,384,1],256,false,18432),("L",vec![4096,4096,4096,4096],512,false,1024)] {
  if !which.contains(&name[..1]) { continue; }
  let mut x=1u32; let mut rnd=||{x^=x<<13;x^=x>>17;x^=x<<5;x};
  let data = if classes { let f=Features::U8(Matrix::from_fn(rows,widths[0],|_,_|rnd() as u8)); let l=(0..rows).map(|_|rnd()%10).collect(); Dataset::new(name,f,Targets::Classes{labels:l,names:(0..10).map(|i|i.to_string()).collect()}) } else { let f=Features::F32(Matrix::from_fn(rows,widths[0],|_,_|(rnd()%1000) as f32/500.-1.)); let t=Targets::Numbers(Matrix::from_fn(rows,*widths.last().unwrap(),|_,_|(rnd()%1000) as f32/500.-1.)); Dataset::new(name,f,t)}.unwrap();
  let mut net=Net::new(widths[0]); for (i,&w) in widths[1..].iter().enumerate() { net=net.layer(w, if i+2==widths.len(){Activation::Identity}else{Activation::Relu}); }
  let p: usize = net.shapes().map(|(a,b)|a*b).sum(); let p1=widths[0]*widths[1];
  for plan in [PlanKind::Plain, PlanKind::Fused] {
   let mut spec=Spec::new(net.clone(), if classes {Loss::CrossEntropy}else{Loss::SquaredError}).optimizer(match name {"H"=>Optimizer::ALL[4],"L"=>Optimizer::ALL[0],_=>Optimizer::ALL[3]});
   spec.batch_size=batch; spec.epochs=1; spec.plan=plan; if name=="L" {spec.lr=1e-4;}
   let mut best=0f64; let mut loss=0.;
   for rep in 0..4 {
     let b: Box<dyn Backend>=Box::new(Cpu::<f32>::new(Some(threads)).unwrap());
     let mut t=Trainer::new(&spec,&data,Preprocessing::fit(&data,Scaling::Minmax),b).unwrap();
     let s=Instant::now(); let e=t.fit(None,&mut()).unwrap(); let dt=s.elapsed().as_secs_f64(); let _=e;
     if rep>0 {best=best.max(rows as f64/dt);} loss=t.weights().unwrap()[0].weight.data()[5];
   }
   println!("{name} {plan}: {best:.0} samples/s {:.1} GFLOP/s  {:.1} us/step w={loss}", best*(6*p-2*p1) as f64/1e9, 1e6*batch as f64/best);
  }
 }
}
