(defproject shop "1.0.0" :dependencies [[org.clojure/clojure "1.12.0"]] :main shop.core)
